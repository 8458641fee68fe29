//! What only the owner of the data may ask for: the commands on the vault as a whole.

use strongroom_agent::json::{Json, Object};
use strongroom_vault::audit::Operation;
use strongroom_vault::{Error as VaultError, Name};

use crate::call::Call;
use crate::error::{Error, Refusal};
use crate::reply::{self, Reply};
use crate::several;
use crate::transfer::Order;

/// What the audit trail names as the tool where values are read to be masked by another process.
const MASKING: &str = "mask";

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

/// `GET /local/credentials`: what is secret in the settings and profiles, in all versions that are kept, for `run`, which
/// masks it; as [`several`] values.
pub async fn credentials(call: Call) -> Result<Reply, Error> {
    let (store, who) = (call.state.settings.clone(), call.who.with(MASKING));
    let values = call
        .state
        .pool
        .work(move || store.credentials(&who))
        .await?;
    Ok(reply::value(several::joined(&values)))
}

/// `GET /local/versions/{name}`: the values of a secret, those before the present one too; as [`several`] values.
pub async fn versions(call: Call) -> Result<Reply, Error> {
    let name = Name::new(&call.value(0))?;
    let (state, who) = (call.state, call.who.with(MASKING));
    let (lender, secret) = (state.gate.lender().clone(), name.clone());
    let read = move || {
        let present = lender.vault().describe(lender.namespace(), &secret)?;
        let version = present.map(|present| present.version);
        Ok::<_, VaultError>((version, lender.versions(&secret)?))
    };
    let (version, values) = state.pool.work(read).await?;
    state
        .note_read(&who, Operation::Read, &state.secrets, &name, version)
        .await?;
    Ok(reply::value(several::joined(&values)))
}
