//! The name once more, before what cannot be undone.

use anyhow::Result;
use controller_api::ClientError;

use crate::failure::Failure;
use crate::output::Output;
use crate::terminal;

pub(super) struct Confirm<'a> {
    /// As the platform has it: what is confirmed is what it is done to.
    pub(super) name: &'a str,
    /// What the command line says; without it one is asked.
    pub(super) given: Option<&'a str>,
    /// What is going to happen, in a sentence.
    pub(super) warning: String,
    /// `destroyed`
    pub(super) done: &'a str,
}

impl Confirm<'_> {
    /// An error where it was another name.
    pub(super) fn ask(self, output: &Output) -> Result<()> {
        let Self { name, done, .. } = self;
        let confirmed = match self.given {
            Some(given) => given.to_owned(),
            None => {
                output.hint(format!(
                    "WARNING: {}\nTo proceed, type {name} or run this again with --confirm {name}",
                    self.warning
                ))?;
                terminal::ask("> ")?
            }
        };
        if confirmed.trim() == name {
            return Ok(());
        }
        Err(Failure::new(format!(
            "Confirmation {confirmed} did not match {name}: nothing was {done}"
        ))
        .into())
    }
}

/// Sends what may have to be confirmed with the app's name, and once more where the platform asks for that.
pub(super) async fn when_required<T>(
    output: &Output,
    app: &str,
    given: Option<&str>,
    done: &str,
    send: impl AsyncFn(Option<&str>) -> Result<T, ClientError>,
) -> Result<T> {
    let warning = match send(given).await {
        Err(ClientError::Api(error)) if error.id == "confirmation_required" => error.message,
        sent => return Ok(sent?),
    };
    Confirm {
        name: app,
        given,
        warning,
        done,
    }
    .ask(output)?;
    Ok(send(Some(app)).await?)
}
