//! THE TABLE: every route with the right that it asks for, the longest body that it takes, and its handler.

use std::future::Future;
use std::pin::Pin;

use crate::auth::Access;
use crate::call::Call;
use crate::error::Error;
use crate::limits::{
    COMMAND_BODY_BYTES_MAX, CONVERSATION_BODY_BYTES_MAX, SECRET_BODY_BYTES_MAX,
    SETTINGS_BODY_BYTES_MAX,
};
use crate::reply::Reply;
use crate::router::{Row, prefix};

pub mod audit;
mod base;
pub mod bash;
pub mod conversations;
pub mod cookie;
pub mod events;
pub mod file;
pub mod git;
pub mod health;
pub mod openapi;
pub mod owner;
pub mod profiles;
pub mod secrets;
pub mod settings;
pub mod site;
pub mod sockets;
pub mod tools;

/// What a handler comes to.
pub type Answer = Pin<Box<dyn Future<Output = Result<Reply, Error>> + Send>>;

/// One row of the table.
pub struct Route {
    /// The method, in capitals.
    pub method: &'static str,
    /// The path, with its variables in braces.
    pub pattern: &'static str,
    /// The right that the caller needs.
    pub access: Access,
    /// What is read of a body.
    pub reads: Reads,
    /// The function that answers.
    pub handler: fn(Call) -> Answer,
    prefix: &'static str,
}

/// What a route reads of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Nothing.
    Nothing,
    /// All of it, up to so many bytes, before the handler runs.
    Whole(usize),
    /// What its handler takes of it as it arrives, without a bound.
    Stream,
}

impl Row for Route {
    fn pattern(&self) -> &'static str {
        self.pattern
    }
    fn method(&self) -> &'static str {
        self.method
    }
    fn prefix(&self) -> &'static str {
        self.prefix
    }
}

/// A row that names no right, or says nothing about a body, does not compile.
macro_rules! routes {
    ($(#[$about:meta])+ $table:ident:
     $($method:ident $pattern:literal $access:ident $body:ident => $module:ident::$handler:ident;)+) => {
        $(#[$about])+
        pub static $table: &[Route] = &[$(Route {
            method: stringify!($method),
            pattern: $pattern,
            access: Access::$access,
            reads: routes!(@body $body),
            handler: |call| Box::pin($module::$handler(call)),
            prefix: prefix($pattern),
        }),+];
    };
    (@body NoBody) => { Reads::Nothing };
    (@body Stream) => { Reads::Stream };
    (@body $limit:ident) => { Reads::Whole($limit) };
}

// The order matters for one thing: a wrong method is told the method of the first row with its path.
routes! {
    /// Every route of the server that the network reaches.
    ROUTES:
    GET    "/alive"                             Open          NoBody                  => health::alive;
    GET    "/health"                            Open          NoBody                  => health::alive;
    GET    "/ready"                             Open          NoBody                  => health::ready;
    GET    "/server_info"                       Open          NoBody                  => health::server_info;
    GET    "/"                                  Open          NoBody                  => health::server_info;
    GET    "/openapi.json"                      Open          NoBody                  => openapi::document;
    GET    "/api/init"                          Open          NoBody                  => health::init;
    GET    "/api/settings"                      ReadSettings  NoBody                  => settings::get;
    PATCH  "/api/settings"                      WriteSettings SETTINGS_BODY_BYTES_MAX => settings::patch;
    GET    "/api/settings/agent-schema"         ReadSettings  NoBody                  => settings::agent_fields;
    GET    "/api/settings/conversation-schema"  ReadSettings  NoBody                  => settings::conversation_fields;
    POST   "/api/settings/mcp/{key}"            WriteSettings SETTINGS_BODY_BYTES_MAX => settings::create_server;
    PATCH  "/api/settings/mcp/{key}"            WriteSettings SETTINGS_BODY_BYTES_MAX => settings::change_server;
    DELETE "/api/settings/mcp/{key}"            WriteSettings NoBody                  => settings::delete_server;
    GET    "/api/settings/secrets"              ListNames     NoBody                  => secrets::list;
    PUT    "/api/settings/secrets"              WriteSecret   SECRET_BODY_BYTES_MAX   => secrets::put;
    GET    "/api/settings/secrets/{name}"       ReadValue     NoBody                  => secrets::value;
    DELETE "/api/settings/secrets/{name}"       WriteSecret   NoBody                  => secrets::delete;
    GET    "/api/profiles"                      ReadSettings  NoBody                  => profiles::llm_list;
    GET    "/api/profiles/{name}"               ReadSettings  NoBody                  => profiles::llm_get;
    POST   "/api/profiles/{name}"               WriteSettings SETTINGS_BODY_BYTES_MAX => profiles::llm_save;
    DELETE "/api/profiles/{name}"               WriteSettings NoBody                  => profiles::llm_delete;
    POST   "/api/profiles/{name}/activate"      WriteSettings SETTINGS_BODY_BYTES_MAX => profiles::llm_activate;
    POST   "/api/profiles/{name}/rename"        WriteSettings SETTINGS_BODY_BYTES_MAX => profiles::llm_rename;
    POST   "/api/profiles/{name}/validate"      WriteSettings SETTINGS_BODY_BYTES_MAX => profiles::llm_validate;
    GET    "/api/agent-profiles"                WriteSettings NoBody                  => profiles::agent_list;
    GET    "/api/agent-profiles/{name}"         ReadSettings  NoBody                  => profiles::agent_get;
    POST   "/api/agent-profiles/{name}"         WriteSettings SETTINGS_BODY_BYTES_MAX => profiles::agent_save;
    DELETE "/api/agent-profiles/{name}"         WriteSettings NoBody                  => profiles::agent_delete;
    POST   "/api/agent-profiles/{name}/rename"  WriteSettings SETTINGS_BODY_BYTES_MAX => profiles::agent_rename;
    POST   "/api/agent-profiles/{id}/activate"  WriteSettings SETTINGS_BODY_BYTES_MAX => profiles::agent_activate;
    POST   "/api/agent-profiles/{name}/materialize" ReadSettings SETTINGS_BODY_BYTES_MAX => profiles::agent_materialize;
    GET    "/api/meta-profiles"                 ReadSettings  NoBody                  => profiles::meta_list;
    GET    "/api/meta-profiles/{name}"          ReadSettings  NoBody                  => profiles::meta_get;
    POST   "/api/meta-profiles/{name}"          WriteSettings SETTINGS_BODY_BYTES_MAX => profiles::meta_save;
    DELETE "/api/meta-profiles/{name}"          WriteSettings NoBody                  => profiles::meta_delete;
    POST   "/api/meta-profiles/{name}/activate" WriteSettings SETTINGS_BODY_BYTES_MAX => profiles::meta_activate;
    POST   "/api/conversations"                 Converse      CONVERSATION_BODY_BYTES_MAX => conversations::create;
    GET    "/api/conversations"                 Converse      NoBody                  => conversations::many;
    GET    "/api/conversations/search"          Converse      NoBody                  => conversations::search;
    GET    "/api/conversations/count"           Converse      NoBody                  => conversations::count;
    GET    "/api/conversations/{id}"            Converse      NoBody                  => conversations::get;
    PATCH  "/api/conversations/{id}"            Converse      COMMAND_BODY_BYTES_MAX  => conversations::patch;
    DELETE "/api/conversations/{id}"            Converse      NoBody                  => conversations::delete;
    POST   "/api/conversations/{id}/fork"       Converse      COMMAND_BODY_BYTES_MAX  => conversations::fork;
    POST   "/api/conversations/{id}/run"        Converse      NoBody                  => conversations::run;
    POST   "/api/conversations/{id}/pause"      Converse      NoBody                  => conversations::pause;
    POST   "/api/conversations/{id}/interrupt"  Converse      NoBody                  => conversations::interrupt;
    POST   "/api/conversations/{id}/secrets"    Converse      COMMAND_BODY_BYTES_MAX  => conversations::secrets;
    POST   "/api/conversations/{id}/confirmation_policy" Converse COMMAND_BODY_BYTES_MAX => conversations::confirmation_policy;
    POST   "/api/conversations/{id}/security_analyzer" Converse COMMAND_BODY_BYTES_MAX => conversations::security_analyzer;
    POST   "/api/conversations/{id}/ask_agent"  Converse      COMMAND_BODY_BYTES_MAX  => conversations::ask;
    POST   "/api/conversations/{id}/condense"   Converse      NoBody                  => conversations::condense;
    GET    "/api/conversations/{id}/agent_final_response" Converse NoBody             => conversations::final_response;
    GET    "/api/conversations/{id}/runtime"    Converse      NoBody                  => conversations::runtime;
    GET    "/api/conversations/{id}/events"     Converse      COMMAND_BODY_BYTES_MAX  => events::many;
    POST   "/api/conversations/{id}/events"     Converse      CONVERSATION_BODY_BYTES_MAX => events::send;
    GET    "/api/conversations/{id}/events/search" Converse   NoBody                  => events::search;
    GET    "/api/conversations/{id}/events/count" Converse    NoBody                  => events::count;
    GET    "/api/conversations/{id}/events/{event}" Converse  NoBody                  => events::one;
    POST   "/api/conversations/{id}/events/respond_to_confirmation" Converse COMMAND_BODY_BYTES_MAX => events::respond;
    GET    "/api/conversations/{id}/workspace"  WorkspaceFiles NoBody                 => site::show;
    GET    "/api/conversations/{id}/workspace/{*path}" WorkspaceFiles NoBody          => site::show;
    POST   "/api/conversations/{id}/bash/start_bash_command" Workspace COMMAND_BODY_BYTES_MAX => bash::start;
    POST   "/api/conversations/{id}/bash/execute_bash_command" Workspace COMMAND_BODY_BYTES_MAX => bash::execute;
    POST   "/api/conversations/{id}/bash/bash_commands/{command}/stop" Workspace NoBody => bash::stop;
    GET    "/api/conversations/{id}/bash/bash_events/search" Workspace NoBody         => bash::search;
    GET    "/api/conversations/{id}/bash/bash_events/{event}" Workspace NoBody        => bash::event;
    DELETE "/api/conversations/{id}/bash/bash_events" Workspace NoBody                => bash::clear;
    POST   "/api/conversations/{id}/file/upload" Workspace    Stream                  => file::upload;
    GET    "/api/conversations/{id}/file/download" Workspace  NoBody                  => file::download;
    GET    "/api/conversations/{id}/git/changes" Workspace    NoBody                  => git::changes;
    GET    "/api/conversations/{id}/git/diff"   Workspace     NoBody                  => git::diff;
    GET    "/sockets/events/{id}"               Open          NoBody                  => sockets::events;
    POST   "/api/auth/workspace-session"        Workspace     NoBody                  => cookie::give;
    DELETE "/api/auth/workspace-session"        Workspace     NoBody                  => cookie::take;
    GET    "/api/tools/"                        Workspace     NoBody                  => tools::list;
    GET    "/api/tools/catalog"                 Workspace     NoBody                  => tools::catalog;
    POST   "/api/bash/start_bash_command"       Workspace     COMMAND_BODY_BYTES_MAX  => bash::start;
    POST   "/api/bash/execute_bash_command"     Workspace     COMMAND_BODY_BYTES_MAX  => bash::execute;
    POST   "/api/bash/bash_commands/{id}/stop"  Workspace     NoBody                  => bash::stop;
    GET    "/api/bash/bash_events/search"       Workspace     NoBody                  => bash::search;
    GET    "/api/bash/bash_events/{id}"         Workspace     NoBody                  => bash::event;
    DELETE "/api/bash/bash_events"              Workspace     NoBody                  => bash::clear;
    POST   "/api/file/upload"                   Workspace     Stream                  => file::upload;
    GET    "/api/file/download"                 Workspace     NoBody                  => file::download;
    GET    "/api/git/changes"                   Workspace     NoBody                  => git::changes;
    GET    "/api/git/diff"                      Workspace     NoBody                  => git::diff;
}

routes! {
    /// What the owner of the data directory may ask for beside [`ROUTES`], over the socket in it.
    OWNER_ROUTES:
    GET    "/local/verify"          Owner NoBody                  => owner::verify;
    GET    "/local/audit"           Owner NoBody                  => audit::list;
    GET    "/local/audit/verify"    Owner NoBody                  => audit::verify;
    DELETE "/local/deleted"         Owner NoBody                  => owner::purge;
    POST   "/local/transfer"        Owner SETTINGS_BODY_BYTES_MAX => owner::transfer;
    GET    "/local/credentials"     Owner NoBody                  => owner::credentials;
    GET    "/local/versions/{name}" Owner NoBody                  => owner::versions;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Keys, Peer};
    use crate::router::{Found, find};
    use hyper::HeaderMap;
    use strongroom_vault::Plaintext;

    #[test]
    fn every_row_is_found_by_its_own_path_alone() {
        for row in ROUTES {
            let path = row
                .pattern
                .replace("{name}", "x")
                .replace("{key}", "x")
                .replace("{event}", "x")
                .replace("{command}", "x")
                .replace("{*path}", "x/y")
                .replace("{id}", "x");
            let Found::Row(found, _) = find(ROUTES, row.method, &path) else {
                panic!("{} {} is not found", row.method, row.pattern);
            };
            assert!(std::ptr::eq(found, row), "{} {}", row.method, row.pattern);
        }
    }

    #[test]
    fn conversations_have_the_routes_of_the_workspace_with_the_same_handlers() {
        for row in ROUTES {
            let parts = ["/api/bash/", "/api/file/", "/api/git/"];
            if !parts.iter().any(|part| row.pattern.starts_with(part)) {
                continue;
            }
            let pattern = row
                .pattern
                .replace("/api/", "/api/conversations/{id}/")
                .replace("bash_commands/{id}", "bash_commands/{command}")
                .replace("bash_events/{id}", "bash_events/{event}");
            let twin = ROUTES.iter().find(|twin| {
                (twin.method, twin.pattern) == (row.method, &*pattern)
                    && (twin.access, twin.reads) == (row.access, row.reads)
            });
            assert!(twin.is_some(), "{} {pattern}", row.method);
        }
    }

    #[test]
    fn the_owners_routes_are_not_the_networks() {
        for row in OWNER_ROUTES {
            assert_eq!(row.access, Access::Owner, "{}", row.pattern);
            assert!(matches!(
                find(ROUTES, row.method, row.pattern),
                Found::Nothing
            ));
        }
        assert!(ROUTES.iter().all(|row| row.access != Access::Owner));
    }

    #[test]
    fn every_row_but_the_open_ones_wants_a_key() {
        let open = [
            "/alive",
            "/health",
            "/ready",
            "/server_info",
            "/",
            "/openapi.json",
            "/api/init",
            // Looks for the key itself, which may come in its first message.
            "/sockets/events/{id}",
        ];
        let keys = Keys::new([Plaintext::copy_of(b"k")]);
        for row in ROUTES {
            let admitted = keys
                .admit(Peer::Network, &HeaderMap::new(), row.access)
                .is_ok();
            assert_eq!(
                admitted,
                open.contains(&row.pattern),
                "{} {}",
                row.method,
                row.pattern
            );
        }
    }

    #[test]
    fn only_methods_with_a_body_read_one() {
        let without = [
            "/api/bash/bash_commands/{id}/stop",
            "/api/conversations/{id}/bash/bash_commands/{command}/stop",
            "/api/auth/workspace-session",
            "/api/conversations/{id}/run",
            "/api/conversations/{id}/pause",
            "/api/conversations/{id}/interrupt",
            "/api/conversations/{id}/condense",
        ];
        for row in ROUTES {
            // Clients send the ids of events in the body of a GET.
            let odd = row.pattern == "/api/conversations/{id}/events" && row.method == "GET";
            if odd || without.contains(&row.pattern) {
                continue;
            }
            let may = ["PUT", "POST", "PATCH"].contains(&row.method);
            assert_eq!(
                row.reads != Reads::Nothing,
                may,
                "{} {}",
                row.method,
                row.pattern
            );
        }
    }
}
