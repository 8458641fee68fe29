//! `/sockets/events/{id}`: the events of a conversation as they happen.

use crate::call::Call;
use crate::error::Error;
use crate::query::Query;
use crate::reply::Reply;
use crate::websocket::session::{Resend, Session};
use crate::websocket::{accept, switch};

/// The handshake. Whoever has not said its key by then says it in its first message.
pub async fn events(call: Call) -> Result<Reply, Error> {
    let mut query = Query::of(call.query());
    let accept = accept(call.method(), call.headers()).ok_or(Error::SocketWanted)?;
    let key = query.text("session_api_key").map(str::to_owned);
    let admitted = call
        .state
        .keys
        .admit_socket(call.peer, call.headers(), key.as_deref())?;
    let id = call.value(0).parse().map_err(|_| match admitted {
        true => Error::NoSuchSocket,
        // Nobody has said who asks.
        false => Error::NoSocket,
    })?;
    let all = query.flag("resend_all") || query.text("resend_mode") == Some("all");
    let since = query.text("resend_mode") == Some("since");
    let resend = match query.moment("after_timestamp").filter(|_| since) {
        Some(moment) => Resend::Since(moment),
        None if all || since => Resend::All,
        None => Resend::Nothing,
    };
    query.end()?;
    let session = Session {
        state: call.state.clone(),
        id,
        admitted,
        resend,
        from: call.who.peer(),
    };
    Ok(switch(accept, session))
}
