//! Files, up and down: as they are, of any length.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::header;
use strongroom_agent::json::{Json, Object};
use strongroom_agent::workspace::files::{Draft, Stored};

use super::base::Base;
use crate::body::Arriving;
use crate::call::{Call, State};
use crate::error::{Error, Flaw, Refusal};
use crate::limits::UPLOAD_BATCH_BYTES;
use crate::multipart::{Found, Multipart};
use crate::reply::{self, Reply};

pub(super) mod sent;

/// `POST /api/file/upload`: the file of the form, to `path`.
pub async fn upload(mut call: Call) -> Result<Reply, Error> {
    let base = Base::of(&call).await?;
    let path = base.path(&call)?;
    let kind = call.text_header("content-type").unwrap_or_default();
    let Some(mut body) = call.arriving() else {
        return Err(Error::Lost);
    };
    let is_form = kind
        .trim_start()
        .to_ascii_lowercase()
        .starts_with("multipart/form-data");
    let mut form = match Multipart::new(&kind) {
        Some(form) => form,
        None if is_form => return Err(Refusal::NoForm.into()),
        None => return Err(no_file()),
    };
    let mut draft = None;
    let mut batch = Vec::with_capacity(UPLOAD_BATCH_BYTES);
    let mut in_file = false;
    loop {
        match form.next().map_err(|_| Refusal::NoForm)? {
            Found::Nothing => match body.next().await? {
                Some(bytes) => form.push(&bytes),
                None => {
                    return Err(if draft.is_none() {
                        no_file()
                    } else {
                        Refusal::NoForm.into()
                    });
                }
            },
            Found::Part(head) => {
                in_file = head.name == "file" && head.is_file;
                if in_file {
                    if draft.is_some() {
                        return Err(Refusal::SeveralFiles.into());
                    }
                    let begun = begin(&call.state, &base, path.clone()).await;
                    draft = Some(begun.map_err(|error| base.worded(error, "path"))?);
                }
            }
            Found::Data(data) if in_file => {
                batch.extend_from_slice(&data);
                if batch.len() >= UPLOAD_BATCH_BYTES {
                    (draft, batch) = write(&call.state, draft, batch).await?;
                }
            }
            Found::PartEnd => in_file = false,
            Found::Data(_) => {}
            Found::End => break,
        }
    }
    rest(&mut body).await?;
    let (Some(draft), _) = write(&call.state, draft, batch).await? else {
        return Err(no_file());
    };
    let size = call.state.pool.write(move || draft.finish()).await?;
    let mut done = Object::with_capacity(2);
    done.insert("success", true);
    done.insert("file_size", size);
    Ok(reply::json(&Json::Object(done)))
}

async fn begin(state: &Arc<State>, base: &Base, path: PathBuf) -> Result<Draft, Error> {
    let ground = base.workspace.ground.clone();
    let begin = move || Draft::begin(&ground, &path);
    state.pool.write(begin).await
}

/// Writes what was gathered, and gives the draft and the emptied buffer back.
async fn write(
    state: &Arc<State>,
    draft: Option<Draft>,
    mut batch: Vec<u8>,
) -> Result<(Option<Draft>, Vec<u8>), Error> {
    let Some(mut draft) = draft else {
        return Ok((None, batch));
    };
    let job = move || {
        draft.write(&batch)?;
        batch.clear();
        Ok::<_, Error>((Some(draft), batch))
    };
    state.pool.write(job).await
}

/// What follows the form, so that the connection can be used again.
async fn rest(body: &mut Arriving) -> Result<(), Error> {
    while body.next().await?.is_some() {}
    Ok(())
}

fn no_file() -> Error {
    Error::Invalid(vec![Flaw::missing("file", Json::Null)])
}

/// `GET /api/file/download`: the file at `path`, or a range of it.
pub async fn download(call: Call) -> Result<Reply, Error> {
    let base = Base::of(&call).await?;
    let path = base.path(&call)?;
    let (ground, named) = (base.workspace.ground.clone(), path.clone());
    let open = move || Stored::open(&ground, &named).map_err(Error::from);
    let stored = call.state.pool.write(open).await;
    let stored = stored.map_err(|error| base.worded(error, "path"))?;
    let mut reply = sent::send(&call, stored, "application/octet-stream").await?;
    if reply.status().is_success() {
        sent::put(&mut reply, header::CONTENT_DISPOSITION, &disposition(&path));
    }
    Ok(reply)
}

/// The name under which it is to be saved, in the form that any name fits in if it has to be.
fn disposition(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-~/".contains(byte);
    if name.iter().all(plain) {
        return format!("attachment; filename=\"{}\"", String::from_utf8_lossy(name));
    }
    let mut encoded = String::with_capacity(3 * name.len());
    for byte in name {
        if plain(byte) {
            encoded.push(char::from(*byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename*=utf-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_http() {
        assert_eq!(
            disposition(Path::new("/a/b.bin")),
            "attachment; filename=\"b.bin\""
        );
        assert_eq!(
            disposition(Path::new("/a/ü \"x")),
            "attachment; filename*=utf-8''%C3%BC%20%22x"
        );
    }
}
