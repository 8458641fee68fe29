//! A conversation's MCP servers: when they are started, what the model is told of them, and their calls.

use std::borrow::Cow;
use std::sync::Arc;

use super::call::Called;
use super::event::{Body, Observation as Observed};
use super::pending::Planned;
use super::run::{Inside, Parts, Run};
use crate::llm::ToolSpec;
use crate::mcp::Ground;
use crate::tool::{McpAction, Observation};

impl Parts {
    fn ground(&self) -> Ground {
        let id = self.journal.id();
        let warn = Arc::clone(&self.warn);
        let chatter = Arc::clone(&self.chatter);
        Ground {
            secrets: self.secrets.clone(),
            setup: self.tools.clone(),
            directory: self.directory.clone(),
            warn: Arc::new(move |text| warn(&format!("conversation {id}: {text}"))),
            chatter: Arc::new(move |text| chatter(&format!("conversation {id}: {text}"))),
        }
    }
}

impl Inside {
    /// Waits until the servers are ready, or the run is interrupted. `begins`: they are started, too.
    pub(super) async fn ready_servers(&self, run: &Run, begins: bool) {
        let outfit = &self.parts.outfit;
        if outfit.servers.is_empty() {
            return;
        }
        let (ground, taken) = (self.parts.ground(), outfit.names());
        tokio::select! {
            biased;
            () = run.interrupted() => {}
            () = outfit.servers.ready(&ground, begins, &taken) => {}
        }
    }

    /// All tools that the model is offered.
    pub(super) fn offered(&self) -> Cow<'_, [ToolSpec]> {
        let outfit = &self.parts.outfit;
        if outfit.servers.is_empty() {
            return Cow::Borrowed(&outfit.specs);
        }
        let mut all = outfit.specs.clone();
        all.extend(outfit.servers.specs(self.parts.secrets.redactor()));
        Cow::Owned(all)
    }

    /// Calls a tool of a server.
    pub(super) async fn call_server(
        &self,
        run: &Run,
        planned: &Planned,
        action: &McpAction,
    ) -> Called {
        let (servers, ground) = (&self.parts.outfit.servers, self.parts.ground());
        let observation = tokio::select! {
            biased;
            () = run.interrupted() => return Called::Interrupted,
            observation = servers.call(&ground, &planned.tool, action) => observation,
        };
        Called::Told(Box::new(Body::Observation(Observed {
            tool_name: planned.tool.clone(),
            tool_call_id: planned.call.clone(),
            observation: Observation::Mcp(observation),
            action_id: planned.event,
            extended_content: Vec::new(),
        })))
    }
}
