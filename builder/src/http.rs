//! Git over smart HTTP: three routes, Basic auth with an API token. And some for other builders and for controllers.

mod auth;
mod body;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use controller_api::host_listener::forwarded_for;
use futures::StreamExt as _;
use model::{Account, Actor, App, BuildId};
use serde::Deserialize;
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, warn};

use crate::Builder;
use crate::access::{Access, app_named};
use crate::git::Service;
use crate::git::command::checked_protocol;
use crate::git::converse::{Client, Output, converse};
use crate::git::repo::{Repo, RepoError};
use crate::push::Origin;
use crate::remote::serve::is_internal;

pub(crate) fn router(builder: Arc<Builder>) -> Router {
    Router::new()
        .route("/health", get(async || "ok\n"))
        .route("/internal/builds", post(crate::remote::serve::serve))
        .route("/internal/builds/{build}/output", get(output))
        .route("/internal/archives", post(crate::archive::serve))
        .route("/{repository}/info/refs", get(info_refs))
        .route("/{repository}/{service}", post(rpc))
        .fallback(async || {
            plain(
                StatusCode::NOT_FOUND,
                "There is nothing here but git repositories: /<app>.git\n",
            )
        })
        .with_state(builder)
}

/// What a build that runs here has said so far, and goes on to say.
async fn output(
    State(builder): State<Arc<Builder>>,
    Path(build): Path<BuildId>,
    headers: HeaderMap,
) -> Response {
    if !is_internal(&builder, &headers) {
        return StatusCode::NOT_FOUND.into_response();
    }
    match builder.live.listen(build) {
        Some(said) => Body::from_stream(said).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[derive(Debug, Deserialize)]
struct InfoRefsQuery {
    service: Option<String>,
}

/// What a service has, and can do.
async fn info_refs(
    State(builder): State<Arc<Builder>>,
    Path(repository): Path<String>,
    Query(query): Query<InfoRefsQuery>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let Some(service) = query.service.as_deref().and_then(Service::parse) else {
        return Err(plain(
            StatusCode::FORBIDDEN,
            "Only the smart HTTP protocol is spoken here: please update git.\n",
        ));
    };
    let entry = enter(&builder, &repository, service, &headers).await?;
    let protocol = protocol(&headers);
    let mut command = match service {
        Service::ReceivePack => builder.git.receive_pack(""),
        Service::UploadPack => {
            let _ = entry.repo.mend_head().await;
            builder.git.upload_pack()
        }
    };
    command
        .args([service.subcommand(), "--stateless-rpc", "--advertise-refs"])
        .arg(entry.repo.path());
    set_protocol(&mut command, protocol);
    let output = command.output().await.map_err(|error| internal(&error))?;
    if !output.status.success() {
        warn!(stderr = %String::from_utf8_lossy(&output.stderr), "git could not list its refs");
        return Err(plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The repository could not be read.\n",
        ));
    }
    // Version 2 of the protocol, which only fetches have, begins without the announcement.
    let announced = if service == Service::UploadPack && wants_version_2(protocol) {
        output.stdout
    } else {
        let line = format!("# service={}\n", service.name());
        [
            format!("{:04x}{line}0000", line.len() + 4).as_bytes(),
            &output.stdout,
        ]
        .concat()
    };
    let kind = format!("application/x-{}-advertisement", service.name());
    Ok((
        [
            (header::CONTENT_TYPE, kind),
            (header::CACHE_CONTROL, NO_CACHE.to_owned()),
        ],
        announced,
    )
        .into_response())
}

const NO_CACHE: &str = "no-cache, max-age=0, must-revalidate";

/// Chunks in flight between client and process, each way.
const DEPTH: usize = 16;
/// Bytes of a refusal; all of ours are a sentence or two.
const MAX_REFUSAL: usize = 4096;
/// How long a push that cannot be taken is listened to.
const HEARS_OUT: Duration = Duration::from_secs(60);

/// A service's conversation: the request's body to git, git's words back, as they come.
async fn rpc(
    State(builder): State<Arc<Builder>>,
    Path((repository, service)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Response> {
    let Some(service) = Service::parse(&service) else {
        return Err(plain(StatusCode::NOT_FOUND, "No such service.\n"));
    };
    let entry = match enter(&builder, &repository, service, &headers).await {
        Ok(entry) => entry,
        Err(refusal) if service == Service::ReceivePack && refusal.status().is_server_error() => {
            return Err(in_conversation(refusal, body).await);
        }
        Err(refusal) => return Err(refusal),
    };
    let gzip = match headers
        .get(header::CONTENT_ENCODING)
        .map(|value| value.as_bytes())
    {
        None | Some(b"identity") => false,
        Some(b"gzip" | b"x-gzip") => true,
        Some(_) => {
            return Err(plain(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Only gzip is understood.\n",
            ));
        }
    };
    let (to_git, input) = mpsc::channel(DEPTH);
    let (output, from_git) = mpsc::channel(DEPTH);
    let (finished, whole) = oneshot::channel();
    builder.tasks.spawn(body::feed(body, gzip, to_git));

    let protocol = protocol(&headers).map(str::to_owned);
    let serving = builder.clone();
    builder.tasks.spawn(async move {
        let Entry { repo, account, app, origin } = entry;
        let registered = (service == Service::ReceivePack).then(|| {
            let actor = Actor { account: account.id, email: account.email.clone() };
            serving.pushes.begin(app.id, app.name.clone(), actor, origin)
        });
        let mut command = match &registered {
            Some(registered) => serving.git.receive_pack(registered.push().secret()),
            None => serving.git.upload_pack(),
        };
        command.args([service.subcommand(), "--stateless-rpc"]).arg(repo.path());
        set_protocol(&mut command, protocol.as_deref());
        let push = registered.as_ref().map(|registered| registered.push());
        match converse(command, Client { input, output }, push).await {
            Ok(status) => {
                debug!(app.name = %app.name, status, service = service.name(), "git ended");
                let _ = finished.send(is_whole(service, status));
            }
            Err(error) => error!(error = &error as &dyn std::error::Error, app.name = %app.name, "git did not run"),
        }
    });

    // The answer's head waits for its first bytes: until then the client may still be sending.
    let mut answer = Answer {
        from_git,
        whole: Some(whole),
    };
    let mut complaint = Vec::new();
    let first = answer.next(&mut complaint).await;
    if !matches!(first, Some(Ok(_))) && !complaint.is_empty() {
        warn!(stderr = %String::from_utf8_lossy(&complaint), service = service.name(), "git had nothing else to say");
    }
    let first = futures::stream::iter(first);
    let rest = futures::stream::unfold(answer, |mut answer| async move {
        let mut said = Vec::new();
        let next = answer.next(&mut said).await;
        if !said.is_empty() {
            debug!(stderr = %String::from_utf8_lossy(&said), "git said");
        }
        Some((next?, answer))
    });
    let kind = format!("application/x-{}-result", service.name());
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, NO_CACHE.to_owned()),
    ];
    Ok((headers, Body::from_stream(first.chain(rest))).into_response())
}

/// What git says to its client.
struct Answer {
    from_git: mpsc::Receiver<Output>,
    /// Sent when git has ended; taken at the end.
    whole: Option<oneshot::Receiver<bool>>,
}

impl Answer {
    /// `None` at the end. An answer that stops in the middle ends in an error instead, so that its transfer is cut short:
    /// to one that merely ends, git at the other side would go on listening for the rest, for ever.
    async fn next(&mut self, complaint: &mut Vec<u8>) -> Option<io::Result<Bytes>> {
        loop {
            match self.from_git.recv().await {
                Some(Output::Stdout(bytes)) => return Some(Ok(bytes)),
                Some(Output::Stderr(bytes)) => note(complaint, &bytes),
                None => break,
            }
        }
        if matches!(self.whole.take()?.await, Ok(true)) {
            return None;
        }
        // What was said before goes out first.
        tokio::task::yield_now().await;
        Some(Err(io::Error::other("git was cut short")))
    }
}

/// Whether a git that ended with `status` has said all that its client waits for.
fn is_whole(service: Service, status: u32) -> bool {
    match service {
        // A push that is refused is a success of git's.
        Service::ReceivePack => status == 0,
        // It gives up with 128, having told the client why; what is more is a signal's.
        Service::UploadPack => status <= 128,
    }
}

/// Git shows its user the text of a refusal when it asks what there is, and no more once it pushes: from then on only what is
/// part of the conversation.
async fn in_conversation(refusal: Response, pushed: Body) -> Response {
    let text = axum::body::to_bytes(refusal.into_body(), MAX_REFUSAL)
        .await
        .unwrap_or_default();
    // A client that is still sending does not listen.
    let heard = pushed
        .into_data_stream()
        .for_each(|_| std::future::ready(()));
    let _ = tokio::time::timeout(HEARS_OUT, heard).await;
    // The third band is for what ends the conversation.
    let head = format!("{:04x}\u{3}", text.len() + 5);
    let words = [head.as_bytes(), &text, b"0000"].concat();
    let kind = format!("application/x-{}-result", Service::ReceivePack.name());
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, NO_CACHE.to_owned()),
    ];
    (headers, words).into_response()
}

fn note(complaint: &mut Vec<u8>, bytes: &[u8]) {
    const ENOUGH: usize = 8192;
    complaint.extend_from_slice(
        bytes
            .get(..ENOUGH.saturating_sub(complaint.len()).min(bytes.len()))
            .unwrap_or_default(),
    );
}

/// A caller who may, and the repository they may use.
struct Entry {
    repo: Repo,
    account: Account,
    app: Box<App>,
    origin: Origin,
}

async fn enter(
    builder: &Builder,
    repository: &str,
    service: Service,
    headers: &HeaderMap,
) -> Result<Entry, Response> {
    let (account, token) = auth::account(builder, headers, service.needs_of_token()).await?;
    let name = repository.strip_suffix(".git").unwrap_or(repository);
    let access = app_named(&*builder.store, &account, name, service.needs())
        .await
        .map_err(|e| unavailable(&e))?;
    match access {
        Access::Granted(app) => {
            let repo = builder
                .repos
                .open(app.id)
                .await
                .map_err(|error| unusable(&error))?;
            let origin = Origin {
                from: forwarded_for(headers),
                token: Some(token),
            };
            Ok(Entry {
                repo,
                account,
                app,
                origin,
            })
        }
        Access::NotFound => Err(plain(
            StatusCode::NOT_FOUND,
            &crate::words::no_such_app(name),
        )),
        Access::Forbidden => Err(plain(
            StatusCode::FORBIDDEN,
            &crate::words::may_not_push(name),
        )),
    }
}

fn protocol(headers: &HeaderMap) -> Option<&str> {
    headers
        .get("git-protocol")
        .and_then(|value| value.to_str().ok())
        .and_then(checked_protocol)
}

fn wants_version_2(protocol: Option<&str>) -> bool {
    protocol.is_some_and(|text| text.split(':').any(|part| part == "version=2"))
}

fn set_protocol(command: &mut Command, protocol: Option<&str>) {
    if let Some(protocol) = protocol {
        command.env("GIT_PROTOCOL", protocol);
    }
}

/// Git shows a plain text body to its user.
fn plain(status: StatusCode, text: &str) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
        text.to_owned(),
    )
        .into_response()
}

fn unavailable(error: &store::StoreError) -> Response {
    error!(
        error = error as &dyn std::error::Error,
        "Could not ask the store who may use a repository"
    );
    plain(
        StatusCode::SERVICE_UNAVAILABLE,
        "The platform's store does not answer. Please try again in a minute.\n",
    )
}

fn unusable(error: &RepoError) -> Response {
    error!(
        error = error as &dyn std::error::Error,
        "Could not serve a repository"
    );
    let status = match error {
        RepoError::Record(_) | RepoError::Blob { .. } => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    plain(status, error.in_words())
}

fn internal(error: &(dyn std::error::Error + 'static)) -> Response {
    error!(error, "Could not serve a repository");
    plain(
        StatusCode::INTERNAL_SERVER_ERROR,
        "The repository could not be used. The platform's operators can read why in its log.\n",
    )
}
