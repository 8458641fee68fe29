//! What only the owner of the data may ask for: the commands on the vault as a whole.

use strongroom_agent::json::{Json, Object};

use crate::call::Call;
use crate::error::{Error, Refusal};
use crate::reply::{self, Reply};
use crate::transfer::Order;

/// `GET /local/verify`: reads everything; `{"clean": BOOL, "report": TEXT}`.
pub async fn verify(call: Call) -> Result<Reply, Error> {
    let vault = call.state.vault.clone();
    let report = call.state.pool.work(move || vault.verify()).await?;
    let mut answer = Object::with_capacity(2);
    answer.insert("clean", Json::Bool(report.is_clean()));
    answer.insert("report", Json::text(&report.to_string()));
    Ok(reply::json(&Json::Object(answer)))
}

/// `DELETE /local/deleted`: erases the sealed bytes of what was deleted or replaced.
pub async fn purge(call: Call) -> Result<Reply, Error> {
    let vault = call.state.vault.clone();
    call.state.pool.write(move || vault.purge()).await?;
    Ok(reply::fixed("{}"))
}

/// `POST /local/transfer`: an import or export by hand; `{"text": TEXT}`.
pub async fn transfer(mut call: Call) -> Result<Reply, Error> {
    let body = call.body().await?;
    let order = body.as_ref().and_then(|(json, _)| Order::read(json));
    let order = order.ok_or(Error::Refused(Refusal::UnknownCommand))?;
    let store = call.state.settings.clone();
    let who = call.who;
    let work = move || order.carry_out(&store, &who).map_err(Error::Transfer);
    let text = call.state.pool.write(work).await?;
    let mut answer = Object::with_capacity(1);
    answer.insert("text", Json::text(&text));
    Ok(reply::json(&Json::Object(answer)))
}
