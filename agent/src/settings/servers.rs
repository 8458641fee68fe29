//! `/api/settings/mcp/{key}`: one MCP server at a time, in the settings of either kind of agent.

use super::desk::{Body, Desk};
use super::field::{Field, Reading, Source};
use super::mcp::{McpServer, McpServerPatch};
use super::merge::merge_patch;
use super::patch::finished;
use super::secret::{Expose, View};
use super::{Settings, SettingsError};
use crate::json::Json;

impl Desk<'_> {
    /// Adds the server `key`; gives the masked settings.
    ///
    /// # Errors
    /// For a body that does not fit, and for a name that is taken.
    pub fn create_server(&mut self, key: &str, body: Body<'_>) -> Result<Json, SettingsError> {
        self.attempt(|desk| {
            let server: McpServer = desk.read_body(body, Source::Request, |_| ())?;
            let mut settings = desk.settings()?;
            if settings.agent_settings.mcp_servers().get(key).is_some() {
                return Err(SettingsError::ServerExists(key.to_owned()));
            }
            settings
                .agent_settings
                .mcp_servers_mut()
                .insert(key, server);
            desk.keep(settings)
        })
    }

    /// Merges a change into the server `key`; gives the masked settings.
    ///
    /// # Errors
    /// For a body that does not fit, for an unknown name, and for a server that does not fit after the merge.
    pub fn change_server(&mut self, key: &str, body: Body<'_>) -> Result<Json, SettingsError> {
        self.attempt(|desk| {
            desk.read_body::<McpServerPatch>(body, Source::Request, |_| ())?;
            let mut settings = desk.settings()?;
            let unknown = || SettingsError::UnknownServer(key.to_owned());
            let server = settings
                .agent_settings
                .mcp_servers()
                .get(key)
                .ok_or_else(unknown)?;
            let base = server.show(&View::new(Expose::Plain));
            let mut merged = base.duplicate();
            if let (Some(merged), Some(diff)) =
                (merged.as_object_mut(), body.and_then(Json::as_object))
            {
                merge_patch(merged, diff);
            }
            let mut run = Reading::new(desk.site, Source::Request, "mcp_config");
            let server = McpServer::read(&merged, Some(&base), &mut run);
            settings
                .agent_settings
                .mcp_servers_mut()
                .insert(key, finished(server, run)?);
            desk.keep(settings)
        })
    }

    /// Takes the server `key` away; gives the masked settings.
    ///
    /// # Errors
    /// For an unknown name.
    pub fn delete_server(&mut self, key: &str) -> Result<Json, SettingsError> {
        self.attempt(|desk| {
            let mut settings = desk.settings()?;
            let removed = settings.agent_settings.mcp_servers_mut().remove(key);
            removed.ok_or_else(|| SettingsError::UnknownServer(key.to_owned()))?;
            desk.keep(settings)
        })
    }

    fn keep(&mut self, mut settings: Settings) -> Result<Json, SettingsError> {
        self.put_settings(&mut settings);
        settings.answer(Expose::Masked)
    }
}
