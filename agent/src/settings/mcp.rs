//! MCP servers: how they are reached and how the agent signs in to them.

use super::field::{Anything, Field, Map, Reading, Rule};
use super::model::{Tag, any_input, any_value, choice, model};
use super::secret::{Secret, Secrets, View};
use crate::json::{Json, Text};

choice! {
    /// How the server is spoken to.
    pub enum Transport {
        /// Over the pipes of a child process.
        Stdio = "stdio",
        /// Over HTTP.
        Http = "http",
        /// Over HTTP, by its long name.
        StreamableHttp = "streamable-http",
        /// Over server-sent events.
        Sse = "sse",
    }
}

const FILLED: Rule = Rule::CharsMin(1);

model! {
    /// One MCP server.
    pub struct McpServer { unknown: Refused, lean: true, before: any_input, after: server_rules }
    /// Its address.
    url: Option<Text> where [FILLED] = { None };
    /// How it is spoken to; found out when not given.
    transport: Option<Transport> = { None };
    /// The program to start.
    command: Option<Text> where [FILLED] = { None };
    /// The program's arguments.
    args: Option<Vec<Text>> = { None };
    /// The program's environment.
    env: Option<Secrets> = { None };
    /// The program's directory.
    cwd: Option<Text> = { None };
    /// For people.
    description: Option<Text> = { None };
    /// For people.
    icon: Option<Text> = { None };
    /// For one call, in seconds.
    timeout: Option<f64> = { None };
    /// Between two events, in seconds.
    sse_read_timeout: Option<f64> = { None };
    /// Whether the connection is kept.
    keep_alive: Option<bool> = { None };
    /// Headers of every request.
    headers: Option<Secrets> = { None };
    /// How the agent signs in.
    auth: Option<McpAuth> = { None };
    /// Whether it is used.
    enabled: bool = { true };
}

model! {
    /// The body that changes a server: as [`McpServer`], but everything may be null and no rule about the
    /// whole is asked before it is merged.
    pub struct McpServerPatch { unknown: Refused, lean: true, before: any_input, after: any_value }
    /// See [`McpServer`].
    url: Option<Text> where [FILLED] = { None };
    /// See [`McpServer`].
    transport: Option<Transport> = { None };
    /// See [`McpServer`].
    command: Option<Text> where [FILLED] = { None };
    /// See [`McpServer`].
    args: Option<Vec<Text>> = { None };
    /// See [`McpServer`]; null removes an entry.
    env: Option<Map<Option<Secret>>> = { None };
    /// See [`McpServer`].
    cwd: Option<Text> = { None };
    /// See [`McpServer`].
    description: Option<Text> = { None };
    /// See [`McpServer`].
    icon: Option<Text> = { None };
    /// See [`McpServer`].
    timeout: Option<f64> = { None };
    /// See [`McpServer`].
    sse_read_timeout: Option<f64> = { None };
    /// See [`McpServer`].
    keep_alive: Option<bool> = { None };
    /// See [`McpServer`]; null removes an entry.
    headers: Option<Map<Option<Secret>>> = { None };
    /// See [`McpServer`].
    auth: Option<McpAuth> = { None };
    /// See [`McpServer`].
    enabled: Option<bool> = { None };
}

fn server_rules(server: &mut McpServer, input: &Json, run: &mut Reading<'_>) -> bool {
    let broken = match server.transport {
        Some(Transport::Stdio) if server.command.is_none() => "stdio MCP servers require 'command'",
        Some(transport) if transport != Transport::Stdio && server.url.is_none() => {
            "remote MCP servers require 'url'"
        }
        _ if server.auth.is_some() && has_authorization(server) => {
            "'auth' cannot be combined with an explicit top-level 'Authorization' header; \
             use auth.strategy='header' instead."
        }
        _ => return true,
    };
    run.refuse_value::<()>(broken, McpServer::veil(input));
    false
}

fn has_authorization(server: &McpServer) -> bool {
    let mut headers = server.headers.iter().flat_map(Map::iter);
    headers.any(|(name, _)| name.eq_ignore_ascii_case("authorization"))
}

/// How the agent signs in to a server.
pub enum McpAuth {
    /// Not at all.
    None(NoAuth),
    /// With a key in a header.
    ApiKey(ApiKeyAuth),
    /// With a bearer token.
    Bearer(BearerAuth),
    /// With a name and a password.
    Basic(BasicAuth),
    /// With headers.
    Header(HeaderAuth),
    /// With OAuth 2.
    OAuth(Box<OAuthAuth>),
}

choice! { /// The strategy of [`NoAuth`].
pub enum NoStrategy { /// Not at all.
    None = "none", } }
choice! { /// The strategy of [`ApiKeyAuth`].
pub enum ApiKeyStrategy { /// A key.
    ApiKey = "api_key", } }
choice! { /// The strategy of [`BearerAuth`].
pub enum BearerStrategy { /// A bearer token.
    Bearer = "bearer", } }
choice! { /// The strategy of [`BasicAuth`].
pub enum BasicStrategy { /// Name and password.
    Basic = "basic", } }
choice! { /// The strategy of [`HeaderAuth`].
pub enum HeaderStrategy { /// Headers.
    Header = "header", } }
choice! { /// The strategy of [`OAuthAuth`].
pub enum OAuthStrategy { /// OAuth 2.
    OAuth = "oauth2", } }

model! {
    /// No sign-in.
    pub struct NoAuth { unknown: Dropped, lean: true, before: any_input, after: any_value }
    /// Which one it is.
    strategy: NoStrategy = required;
}

model! {
    /// A key in a header.
    pub struct ApiKeyAuth { unknown: Dropped, lean: true, before: any_input, after: any_value }
    /// Which one it is.
    strategy: ApiKeyStrategy = required;
    /// The key.
    value: Option<Secret> = { None };
    /// The header.
    header_name: Option<Text> = { None };
}

model! {
    /// A bearer token.
    pub struct BearerAuth { unknown: Dropped, lean: true, before: any_input, after: any_value }
    /// Which one it is.
    strategy: BearerStrategy = required;
    /// The token.
    value: Option<Secret> = { None };
}

model! {
    /// A name and a password.
    pub struct BasicAuth { unknown: Dropped, lean: true, before: any_input, after: any_value }
    /// Which one it is.
    strategy: BasicStrategy = required;
    /// The name.
    username: Text = required;
    /// The password.
    password: Option<Secret> = { None };
}

model! {
    /// Headers.
    pub struct HeaderAuth { unknown: Dropped, lean: true, before: any_input, after: any_value }
    /// Which one it is.
    strategy: HeaderStrategy = required;
    /// The headers.
    headers: Secrets = { Secrets::default() };
}

model! {
    /// OAuth 2: the client and what it has been given.
    pub struct OAuthAuth { unknown: Dropped, lean: true, before: any_input, after: any_value }
    /// Which one it is.
    strategy: OAuthStrategy = required;
    /// The client.
    authentication: Option<OAuthClient> = { None };
    /// What it has been given.
    state: Option<OAuthState> = { None };
}

choice! { /// The type of [`OAuthClient`].
pub enum OAuthType { /// OAuth.
    OAuth = "oauth", } }

choice! {
    /// How the client proves itself.
    pub enum ClientAuth { /// Not at all.
        None = "none", /// In the body.
        Post = "client_secret_post", /// In a header.
        Basic = "client_secret_basic", /// With a signature.
        Jwt = "private_key_jwt", }
}

/// Scopes as one text or as a list.
pub enum Scopes {
    /// One text.
    Text(Text),
    /// A list.
    List(Vec<Text>),
}

impl Field for Scopes {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        match input {
            Json::List(_) => Vec::read(input, base, run).map(Self::List),
            other => Text::read(other, base, run).map(Self::Text),
        }
    }

    fn show(&self, view: &View<'_>) -> Json {
        match self {
            Self::Text(text) => text.show(view),
            Self::List(list) => list.show(view),
        }
    }
}

model! {
    /// The OAuth client.
    pub struct OAuthClient { unknown: Refused, lean: true, before: any_input, after: any_value }
    /// Which kind it is.
    r#type: OAuthType = required;
    /// How it proves itself.
    client_auth_method: Option<ClientAuth> = { None };
    /// What it asks for.
    scopes: Option<Scopes> = { None };
    /// Its name.
    client_name: Option<Text> = { None };
    /// Where its description is.
    client_metadata_url: Option<Text> = { None };
    /// Its id.
    client_id: Option<Text> = { None };
    /// Its secret.
    client_secret: Option<Secret> = { None };
    /// More about it.
    additional_client_metadata: Option<Anything> = { None };
}

model! {
    /// What an OAuth client has been given.
    pub struct OAuthState { unknown: Dropped, lean: true, before: any_input, after: any_value }
    /// Its tokens.
    tokens: Option<Kept<OAuthTokens>> = { None };
    /// Its registration.
    client_info: Option<Kept<OAuthClientInfo>> = { None };
    /// When the tokens end, in seconds of Unix time.
    token_expires_at: Option<f64> = { None };
}

model! {
    /// The secret part of a token answer.
    pub struct OAuthTokens { unknown: Dropped, lean: true, before: any_input, after: any_value }
    /// Opens the server.
    access_token: Option<Secret> = { None };
    /// Gets another one.
    refresh_token: Option<Secret> = { None };
}

model! {
    /// The secret part of a registration.
    pub struct OAuthClientInfo { unknown: Dropped, lean: true, before: any_input, after: any_value }
    /// The client's secret.
    client_secret: Option<Secret> = { None };
}

/// An object of which a part is typed, and whatever else came with it.
pub struct Kept<M> {
    /// The typed part.
    pub typed: M,
    rest: Anything,
}

/// A model that lists its members.
pub(crate) trait Named {
    const MEMBERS: &'static [&'static str];
}

impl Named for OAuthTokens {
    const MEMBERS: &'static [&'static str] = Self::NAMES;
}

impl Named for OAuthClientInfo {
    const MEMBERS: &'static [&'static str] = Self::NAMES;
}

impl<M: Field + Named> Field for Kept<M> {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let typed = M::read(input, base, run)?;
        let mut rest = Anything::read(input, base, run)?;
        rest.0
            .retain(|name, value| !M::MEMBERS.contains(&name) && !value.is_null());
        Some(Self { typed, rest })
    }

    fn show(&self, view: &View<'_>) -> Json {
        let mut shown = self.typed.show(view);
        if let Some(members) = shown.as_object_mut() {
            for (name, value) in self.rest.0.iter() {
                members.insert(name, value.duplicate());
            }
        }
        shown
    }

    fn veil(input: &Json) -> Json {
        M::veil(input)
    }
}

const STRATEGY: Tag = Tag {
    name: "strategy",
    shown: "'strategy'",
    absent: None,
    words: &["none", "api_key", "bearer", "basic", "header", "oauth2"],
};

impl Field for McpAuth {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let strategy = STRATEGY.read(input, Self::veil, run)?;
        run.at_tag(strategy, |run| match strategy {
            "none" => NoAuth::read(input, base, run).map(Self::None),
            "api_key" => ApiKeyAuth::read(input, base, run).map(Self::ApiKey),
            "bearer" => BearerAuth::read(input, base, run).map(Self::Bearer),
            "basic" => BasicAuth::read(input, base, run).map(Self::Basic),
            "header" => HeaderAuth::read(input, base, run).map(Self::Header),
            _ => Box::read(input, base, run).map(Self::OAuth),
        })
    }

    fn show(&self, view: &View<'_>) -> Json {
        match self {
            Self::None(auth) => auth.show(view),
            Self::ApiKey(auth) => auth.show(view),
            Self::Bearer(auth) => auth.show(view),
            Self::Basic(auth) => auth.show(view),
            Self::Header(auth) => auth.show(view),
            Self::OAuth(auth) => auth.show(view),
        }
    }

    /// `value` holds a secret under most strategies, so it is hidden under all, unknown ones too.
    fn veil(input: &Json) -> Json {
        let mut shown = OAuthAuth::veil(input);
        if let Some(value) = shown
            .as_object_mut()
            .and_then(|members| members.get_mut("value"))
        {
            *value = super::fault::hidden(value);
        }
        shown
    }
}
