//! What can go wrong with a request, and the one place that says with which status.
//!
//! Variants hold names, sizes and texts of ours, never what a client sent; a [`Flaw`] shows input only in the
//! form that its maker has cleaned.

use std::borrow::Cow;
use std::fmt;

use crate::transfer::TransferError;
use hyper::StatusCode;
use strongroom_agent::conversation;
use strongroom_agent::json::{Json, ParseError};
use strongroom_agent::settings::SettingsError;
use strongroom_agent::workspace::bash::NotStarted;
use strongroom_agent::workspace::confine::Refused;
use strongroom_agent::workspace::git;
use strongroom_agent::workspace::site::NotShown;

/// A request that gets no ordinary answer. `Display` is the text that the client sees.
pub enum Error {
    /// No route has this path.
    NoRoute,
    /// The path is known, the method is not; the method that the `allow` header names.
    WrongMethod(&'static str),
    /// HTTP/1.1 without exactly one usable Host header.
    BadHost,
    /// The server has no session key, and the Host header is none of this machine's names.
    ForeignHost,
    /// The server has no session key, and the Origin header is not allowed.
    ForeignOrigin,
    /// No session key, or a wrong one.
    NoKey,
    /// The body is longer than the route takes.
    BodyTooLong {
        /// The most that the route takes, in bytes.
        limit: usize,
    },
    /// The body stopped arriving.
    BodySilent,
    /// The connection or the framing broke in the middle of the body.
    BodyBroken,
    /// The body's content type is not JSON.
    NotJson,
    /// The body is no JSON text.
    Malformed(ParseError),
    /// Fields of the body are missing or of the wrong type.
    Invalid(Vec<Flaw>),
    /// A rule of the route is broken.
    Refused(Refusal),
    /// Too much is going on at the moment.
    Busy,
    /// The settings or profiles say no, or failed.
    Settings(SettingsError),
    /// A conversation says no, or failed.
    Conversation(conversation::Error),
    /// There is no such conversation, in the words of the routes that ask the model.
    NoConversation,
    /// What asks for a websocket is not let in.
    NoSocket,
    /// A websocket was asked for under what can be no conversation's id.
    NoSuchSocket,
    /// A route of websockets was asked for something else.
    SocketWanted,
    /// A path of the workspace is not reached.
    Place(Refused),
    /// A file is not shown to a page.
    Site(NotShown),
    /// A command was not started.
    Command(NotStarted),
    /// Git gives no answer.
    Git(git::Failure),
    /// Secrets can't be masked, so that nothing is shown that could hold one.
    Masking(strongroom_agent::secrets::Error),
    /// The vault failed.
    Vault(strongroom_vault::Error),
    /// An import or export by hand could not be done.
    Transfer(TransferError),
    /// A job in the pool ended without a result.
    Lost,
}

/// A rule of a route, with the text that the contract gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The secret's name has characters that are not allowed, or too many.
    SecretName,
    /// The secret's value is empty, blank or the mask.
    SecretValue,
    /// The secret's value is above the limit.
    SecretTooLong,
    /// The secret's description is above the limit.
    DescriptionTooLong,
    /// A command of another version of this program.
    UnknownCommand,
    /// The body is no form, or one that breaks off.
    NoForm,
    /// A form has more than one file.
    SeveralFiles,
    /// The Range header can't be read.
    Range,
    /// Two parameters that exclude each other.
    RefAndCommit,
    /// What this names has to be a path in the conversation's directory.
    Elsewhere(&'static str),
    /// The directory of the conversation is gone.
    NoWorkspace,
    /// There is no such secret.
    NoSecret,
    /// The server was started completely; there is nothing to initialise.
    NoDeferredInit,
}

/// One wrong field of a body.
pub struct Flaw {
    /// The contract's word for what is wrong.
    pub kind: &'static str,
    /// The way to the field, from `body` or `path` on.
    pub at: Vec<&'static str>,
    /// The same for a person.
    pub message: Cow<'static, str>,
    /// What was sent, without anything that may be secret.
    pub input: Json,
    /// More about the rule, under its name.
    pub context: Option<Box<(&'static str, Json)>>,
}

impl Flaw {
    /// A field that has to be there; `around` is the object that it is missing from.
    #[must_use]
    pub fn missing(field: &'static str, around: Json) -> Self {
        Self {
            kind: "missing",
            at: vec!["body", field],
            message: "Field required".into(),
            input: around,
            context: None,
        }
    }

    /// A field that has to be a text.
    #[must_use]
    pub fn no_text(field: &'static str, input: Json) -> Self {
        Self {
            kind: "string_type",
            at: vec!["body", field],
            message: "Input should be a valid string".into(),
            input,
            context: None,
        }
    }

    /// A parameter of the query that has to be there.
    #[must_use]
    pub fn no_parameter(name: &'static str) -> Self {
        Self {
            kind: "missing",
            at: vec!["query", name],
            message: "Field required".into(),
            input: Json::Null,
            context: None,
        }
    }

    /// No body where there has to be one.
    #[must_use]
    pub fn no_body() -> Self {
        Self {
            kind: "missing",
            at: vec!["body"],
            message: "Field required".into(),
            input: Json::Null,
            context: None,
        }
    }

    /// A body that is not an object.
    #[must_use]
    pub fn no_object(input: Json) -> Self {
        Self {
            kind: "model_attributes_type",
            at: vec!["body"],
            message: "Input should be a valid dictionary or object to extract fields from".into(),
            input,
            context: None,
        }
    }
}

impl Error {
    /// The status of each failure: here and nowhere else.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadHost
            | Self::BodyBroken
            | Self::Refused(
                Refusal::NoForm | Refusal::SeveralFiles | Refusal::Range | Refusal::RefAndCommit,
            ) => StatusCode::BAD_REQUEST,
            Self::Place(refused) | Self::Git(git::Failure::Place(refused)) => of_place(refused),
            Self::Site(NotShown::Place(Refused::Outside)) => StatusCode::BAD_REQUEST,
            Self::Site(NotShown::Place(refused)) => of_place(refused),
            Self::Command(NotStarted::Place(_)) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Command(NotStarted::Busy) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Git(git::Failure::Child(error)) if !error.is_not_found() => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::Git(_) => StatusCode::BAD_REQUEST,
            Self::NoKey => StatusCode::UNAUTHORIZED,
            Self::ForeignHost | Self::ForeignOrigin | Self::NoSocket | Self::NoSuchSocket => {
                StatusCode::FORBIDDEN
            }
            Self::NoRoute
            | Self::NoConversation
            | Self::Site(NotShown::NoSite | NotShown::NoIndex)
            | Self::Refused(Refusal::NoSecret | Refusal::NoDeferredInit | Refusal::NoWorkspace) => {
                StatusCode::NOT_FOUND
            }
            Self::WrongMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodySilent => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotJson
            | Self::Malformed(_)
            | Self::Invalid(_)
            | Self::Refused(
                Refusal::SecretName
                | Refusal::SecretValue
                | Refusal::SecretTooLong
                | Refusal::UnknownCommand
                | Refusal::Elsewhere(_)
                | Refusal::DescriptionTooLong,
            ) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Transfer(_) => StatusCode::CONFLICT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Settings(error) => {
                StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Self::Conversation(error) => {
                StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Self::SocketWanted => StatusCode::UPGRADE_REQUIRED,
            Self::Command(NotStarted::System(_))
            | Self::Masking(_)
            | Self::Vault(_)
            | Self::Lost => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether part of the body may still be on its way, so that the connection has to end after the answer.
    #[must_use]
    pub fn ends_connection(&self) -> bool {
        matches!(
            self,
            Self::BodyTooLong { .. }
                | Self::BodySilent
                | Self::BodyBroken
                | Self::BadHost
                | Self::Busy
        )
    }

    /// Whether the server is to blame, so that its log has to say more. Being busy is no fault, and a line for
    /// each request would add to the load.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        self.status() == StatusCode::INTERNAL_SERVER_ERROR
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRoute => "Not Found",
            Self::WrongMethod(_) => "Method Not Allowed",
            Self::BadHost => "HTTP/1.1 wants exactly one Host header",
            Self::ForeignHost => {
                "Without a session key this server answers only to localhost; use http://localhost or \
                 http://127.0.0.1 in the address, or start it with SESSION_API_KEY"
            }
            Self::ForeignOrigin => {
                "Without a session key this server refuses pages from other origins; allow the origin with \
                 OH_ALLOW_CORS_ORIGINS_0, or start the server with SESSION_API_KEY"
            }
            Self::NoKey => "Unauthorized",
            Self::BodyTooLong { limit } => {
                return write!(f, "The request body is too large: at most {limit} bytes");
            }
            Self::BodySilent => "The request body did not arrive in time",
            Self::BodyBroken => "The request body is incomplete or badly framed",
            Self::NotJson => "The request body must be JSON, with content-type: application/json",
            Self::Malformed(_) => "JSON decode error",
            Self::Invalid(_) => "The request body has missing or wrong fields",
            Self::Refused(refusal) => return refusal.fmt(f),
            Self::Busy => "The server is busy; try again",
            Self::Settings(error) => return error.fmt(f),
            Self::Conversation(error) => return error.fmt(f),
            Self::NoConversation => "Conversation not found",
            Self::NoSocket | Self::NoSuchSocket => "Forbidden",
            Self::SocketWanted => {
                "This path is a websocket's: ask for it with a client that speaks RFC 6455, version 13"
            }
            Self::Place(refused) => return refused.fmt(f),
            Self::Site(why) => return why.fmt(f),
            Self::Command(error) => return error.fmt(f),
            Self::Git(error) => return error.fmt(f),
            Self::Masking(error) => return error.fmt(f),
            Self::Vault(error) => return error.fmt(f),
            Self::Transfer(error) => return error.fmt(f),
            Self::Lost => "The request was given up after an internal fault",
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SecretName => {
                "Invalid secret name format. Must start with a letter, contain only letters, numbers, and \
                 underscores, and be 1-64 characters long."
            }
            Self::SecretValue => "Secret value must not be empty or redacted",
            Self::SecretTooLong => {
                return write!(
                    f,
                    "Secret value must not be longer than {} bytes",
                    crate::limits::SECRET_BYTES_MAX
                );
            }
            Self::DescriptionTooLong => {
                return write!(
                    f,
                    "Secret description must not be longer than {} bytes",
                    crate::limits::DESCRIPTION_BYTES_MAX
                );
            }
            Self::UnknownCommand => {
                "this server does not know the command; it may be of another version"
            }
            Self::NoForm => "There was an error parsing the body",
            Self::SeveralFiles => "The form has more than one file; send one at a time",
            Self::Range => "Malformed range header.",
            Self::Elsewhere(what) => {
                return write!(f, "{what} must be inside the conversation workspace");
            }
            Self::NoWorkspace => return NotShown::NoSite.fmt(f),
            Self::RefAndCommit => "'ref' and 'commit' are mutually exclusive",
            Self::NoSecret => "Secret not found",
            Self::NoDeferredInit => {
                "server is not running with deferred_init=True; the /api/init endpoint is not available"
            }
        })
    }
}

fn of_place(refused: &Refused) -> StatusCode {
    match refused {
        Refused::Relative
        | Refused::NotFile
        | Refused::Directory
        | Refused::NotDirectory
        | Refused::Unusable => StatusCode::BAD_REQUEST,
        Refused::Missing => StatusCode::NOT_FOUND,
        Refused::Outside | Refused::Vault | Refused::Process | Refused::Denied => {
            StatusCode::FORBIDDEN
        }
        Refused::Full => StatusCode::INSUFFICIENT_STORAGE,
        Refused::Io(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Place(refused)
    }
}

impl From<NotShown> for Error {
    fn from(why: NotShown) -> Self {
        Self::Site(why)
    }
}

impl From<NotStarted> for Error {
    fn from(error: NotStarted) -> Self {
        Self::Command(error)
    }
}

impl From<git::Failure> for Error {
    fn from(error: git::Failure) -> Self {
        Self::Git(error)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<SettingsError> for Error {
    fn from(error: SettingsError) -> Self {
        Self::Settings(error)
    }
}

impl From<conversation::Error> for Error {
    fn from(error: conversation::Error) -> Self {
        Self::Conversation(error)
    }
}

impl From<strongroom_vault::Error> for Error {
    fn from(error: strongroom_vault::Error) -> Self {
        Self::Vault(error)
    }
}
