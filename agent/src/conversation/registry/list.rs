//! Lists of conversations, from the rows alone; only what is shown is loaded.

use super::{Conversations, Row, Shared};
use crate::conversation::info::Form;
use crate::conversation::{Error, Id, Status};
use crate::json::{Json, Object};
use crate::limits::CONVERSATIONS_PAGE_MAX;

/// In which order conversations are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Oldest first.
    Created,
    /// Longest unchanged first.
    Updated,
    /// Newest first.
    #[default]
    CreatedLast,
    /// Last changed first.
    UpdatedLast,
}

/// A page of conversations.
#[derive(Default)]
pub struct Wanted {
    /// The first one, in any spelling. One that is not there: from the beginning.
    pub page_id: Option<String>,
    /// How many at most, up to [`CONVERSATIONS_PAGE_MAX`].
    pub limit: usize,
    /// Those that do this.
    pub status: Option<Status>,
    /// In which order.
    pub sort: Sort,
    /// With the skills of their agents.
    pub include_skills: bool,
}

impl Shared {
    /// The rows as they are now.
    fn rows<T>(&self, look: impl FnOnce(&mut dyn Iterator<Item = (Id, &Row)>) -> T) -> T {
        let mut table = self.table();
        let table = &mut *table;
        for (id, seat) in &table.loaded {
            if let Some(row) = table.rows.get_mut(id) {
                let state = seat.conversation.0.journal.state();
                if row.updated_at != state.updated_at || row.status != state.status {
                    *row = Row::of(&state);
                }
            }
        }
        look(&mut table.rows.iter().map(|(id, row)| (*id, row)))
    }
}

impl Conversations {
    /// A page: `items` and `next_page_id`.
    ///
    /// # Errors
    /// Those of loading one.
    pub async fn search(&self, wanted: Wanted) -> Result<Json, Error> {
        self.ready().await?;
        let mut ids = self.0.rows(|rows| {
            let rows =
                rows.filter(|(_, row)| wanted.status.is_none_or(|status| row.status == status));
            let by_update = matches!(wanted.sort, Sort::Updated | Sort::UpdatedLast);
            let key = |(id, row): (Id, &Row)| {
                let time = if by_update {
                    &row.updated_at
                } else {
                    &row.created_at
                };
                (time.clone(), id)
            };
            let mut all: Vec<_> = rows.map(key).collect();
            all.sort_unstable();
            if matches!(wanted.sort, Sort::CreatedLast | Sort::UpdatedLast) {
                all.reverse();
            }
            all.into_iter().map(|(_, id)| id).collect::<Vec<_>>()
        });
        let first = wanted
            .page_id
            .as_deref()
            .and_then(|id| id.parse::<Id>().ok());
        let first = first.and_then(|first| ids.iter().position(|id| *id == first));
        ids.drain(..first.unwrap_or(0));
        let next = ids
            .get(wanted.limit.clamp(1, CONVERSATIONS_PAGE_MAX))
            .copied();
        ids.truncate(wanted.limit.clamp(1, CONVERSATIONS_PAGE_MAX));
        let form = Form {
            include_skills: wanted.include_skills,
            made: false,
        };
        let mut items = Vec::with_capacity(ids.len());
        for id in ids {
            // One that was deleted meanwhile is left out.
            items.extend(self.shown(id, form).await?);
        }
        let mut page = Object::with_capacity(2);
        page.insert("items", items);
        page.insert(
            "next_page_id",
            next.map_or(Json::Null, |id| Json::text(&id.hex())),
        );
        Ok(page.into())
    }

    /// How many there are, or how many of them do this.
    ///
    /// # Errors
    /// When the index can't be read.
    pub async fn count(&self, status: Option<Status>) -> Result<u64, Error> {
        self.ready().await?;
        let counted = |row: &Row| status.is_none_or(|status| row.status == status);
        Ok(self
            .0
            .rows(|rows| rows.filter(|(_, row)| counted(row)).count()) as u64)
    }

    /// Those of these ids, in order; null for those that are not there.
    ///
    /// # Errors
    /// Those of loading one.
    pub async fn many(&self, ids: &[Id], include_skills: bool) -> Result<Json, Error> {
        let mut items = Vec::with_capacity(ids.len());
        for id in ids {
            let form = Form {
                include_skills,
                made: false,
            };
            items.push(self.shown(*id, form).await?.unwrap_or(Json::Null));
        }
        Ok(items.into())
    }

    async fn shown(&self, id: Id, form: Form) -> Result<Option<Json>, Error> {
        let conversation = match self.get(id).await {
            Err(Error::Unknown) => return Ok(None),
            found => found?,
        };
        match conversation.info(form).await {
            Err(Error::Unknown) => Ok(None),
            shown => shown.map(Some),
        }
    }
}
