//! One SSH connection: a proven key, and the commands run with it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::{Account, Actor};
use russh::keys::HashAlg;
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Pty};
use tokio::sync::{mpsc, watch};
use tracing::{debug, error};

use super::command::{self, Request};
use crate::Builder;
use crate::access::{Access, account_of_key, app_named};
use crate::git::Service;
use crate::git::command::checked_protocol;
use crate::git::converse::{Client, Input, Output, converse};
use crate::push::Origin;
use crate::words;

/// What the connection's owner may know of it.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    authenticated: Arc<AtomicBool>,
    /// Commands running now.
    running: Arc<watch::Sender<usize>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            authenticated: Arc::default(),
            running: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl Shared {
    pub(super) fn is_authenticated(&self) -> bool {
        self.authenticated.load(Ordering::Relaxed)
    }

    /// Until no command runs.
    pub(super) async fn idle(&self) {
        let _ = self
            .running
            .subscribe()
            .wait_for(|running| *running == 0)
            .await;
    }
}

pub(super) struct Session {
    builder: Arc<Builder>,
    shared: Shared,
    peer: IpAddr,
    account: Option<Account>,
    /// Opened, and not yet told what for.
    opened: HashMap<ChannelId, Opened>,
}

struct Opened {
    channel: Channel<Msg>,
    protocol: Option<String>,
}

impl Session {
    pub(super) fn new(builder: Arc<Builder>, shared: Shared, peer: IpAddr) -> Self {
        Self {
            builder,
            shared,
            peer,
            account: None,
            opened: HashMap::new(),
        }
    }

    async fn account_of(&self, key: &russh::keys::PublicKey) -> Option<Account> {
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        match account_of_key(&*self.builder.store, &fingerprint).await {
            // Nothing can be said before somebody is let in.
            Ok(account) => {
                account.filter(|account| !self.builder.config.second_factor.is_broken_by(account))
            }
            Err(error) => {
                error!(
                    error = &error as &dyn std::error::Error,
                    "Could not ask the store whose key this is"
                );
                None
            }
        }
    }

    /// Starts what the channel was opened for; says so, or why not, to the client.
    fn begin(&mut self, id: ChannelId, work: Work) {
        let (Some(Opened { channel, protocol }), Some(account)) =
            (self.opened.remove(&id), self.account.clone())
        else {
            return;
        };
        let (read, write) = channel.split();
        let (builder, running) = (self.builder.clone(), self.shared.running.clone());
        let peer = self.peer;
        running.send_modify(|count| *count += 1);
        self.builder.tasks.spawn(async move {
            let status = match work {
                Work::Refuse(text) => {
                    let _ = write.extended_data_bytes(STDERR, text.into_bytes()).await;
                    1
                }
                Work::Git(request) => {
                    serve(&builder, (account, peer), &request, protocol, read, &write).await
                }
            };
            let _ = write.exit_status(status).await;
            let _ = write.eof().await;
            let _ = write.close().await;
            running.send_modify(|count| *count -= 1);
        });
    }
}

const STDERR: u32 = 1;

enum Work {
    Git(Request),
    Refuse(String),
}

async fn serve(
    builder: &Arc<Builder>,
    (account, peer): (Account, IpAddr),
    request: &Request,
    protocol: Option<String>,
    read: ChannelReadHalf,
    write: &ChannelWriteHalf<Msg>,
) -> u32 {
    let refuse = async |text: String| {
        let _ = write.extended_data_bytes(STDERR, text.into_bytes()).await;
        128
    };
    let app = match app_named(
        &*builder.store,
        &account,
        &request.app,
        request.service.needs(),
    )
    .await
    {
        Ok(Access::Granted(app)) => app,
        Ok(Access::NotFound) => return refuse(words::no_such_app(&request.app)).await,
        Ok(Access::Forbidden) => return refuse(words::may_not_push(&request.app)).await,
        Err(error) => {
            error!(
                error = &error as &dyn std::error::Error,
                "Could not ask the store who may use a repository"
            );
            return refuse(
                "The platform's store does not answer. Please try again in a minute.\n".to_owned(),
            )
            .await;
        }
    };
    let repo = match builder.repos.open(app.id).await {
        Ok(repo) => repo,
        Err(error) => {
            error!(error = &error as &dyn std::error::Error, app.name = %app.name, "Could not serve a repository");
            return refuse(error.in_words().to_owned()).await;
        }
    };
    let registered = (request.service == Service::ReceivePack).then(|| {
        let actor = Actor {
            account: account.id,
            email: account.email.clone(),
        };
        let origin = Origin {
            from: Some(peer.to_canonical()),
            token: None,
        };
        let name = app.name.clone();
        builder.pushes.begin(app.id, name, actor, origin)
    });
    let mut command = match &registered {
        Some(registered) => builder.git.receive_pack(registered.push().secret()),
        None => {
            let _ = repo.mend_head().await;
            builder.git.upload_pack()
        }
    };
    command.arg(request.service.subcommand()).arg(repo.path());
    if let Some(protocol) = protocol {
        command.env("GIT_PROTOCOL", protocol);
    }
    let push = registered.as_ref().map(|registered| registered.push());
    let (to_git, input) = mpsc::channel(DEPTH);
    let (output, from_git) = mpsc::channel(DEPTH);
    let conversing = converse(command, Client { input, output }, push);
    let carrying = carry(read, write, to_git, from_git);
    let (status, ()) = tokio::join!(conversing, carrying);
    match status {
        Ok(status) => status,
        Err(error) => {
            error!(error = &error as &dyn std::error::Error, app.name = %app.name, "git did not run");
            128
        }
    }
}

const DEPTH: usize = 16;

/// Carries bytes both ways until git has said everything or the client is gone.
async fn carry(
    mut read: ChannelReadHalf,
    write: &ChannelWriteHalf<Msg>,
    to_git: mpsc::Sender<Input>,
    mut from_git: mpsc::Receiver<Output>,
) {
    let inward = async {
        loop {
            let sent = match read.wait().await {
                Some(ChannelMsg::Data { data }) => to_git.send(Input::Data(data)).await,
                Some(ChannelMsg::Eof) => to_git.send(Input::End).await,
                Some(ChannelMsg::Close) | None => return,
                Some(_) => Ok(()),
            };
            if sent.is_err() {
                // Git has ended; its last words are still on their way.
                std::future::pending::<()>().await;
            }
        }
    };
    let outward = async {
        while let Some(output) = from_git.recv().await {
            let sent = match output {
                Output::Stdout(bytes) => write.data_bytes(bytes).await,
                Output::Stderr(bytes) => write.extended_data_bytes(STDERR, bytes).await,
            };
            if sent.is_err() {
                return;
            }
        }
    };
    // Whichever ends first ends both: dropping `from_git` is how the process learns that nobody listens.
    tokio::select! {
        () = inward => debug!("An SSH client closed its channel"),
        () = outward => {}
    }
}

impl Handler for Session {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(if self.account_of(offer.public_key).await.is_some() {
            Auth::Accept
        } else {
            Auth::reject()
        })
    }

    async fn auth_publickey(
        &mut self,
        _: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        self.account = self.account_of(key.public_key).await;
        if self.account.is_none() {
            return Ok(Auth::reject());
        }
        self.shared.authenticated.store(true, Ordering::Relaxed);
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut russh::server::Session,
    ) -> Result<(), Self::Error> {
        const MAX_CHANNELS: usize = 10;
        if self.opened.len() < MAX_CHANNELS {
            self.opened.insert(
                channel.id(),
                Opened {
                    channel,
                    protocol: None,
                },
            );
            reply.accept().await;
        }
        Ok(())
    }

    async fn channel_close(
        &mut self,
        id: ChannelId,
        _: &mut russh::server::Session,
    ) -> Result<(), Self::Error> {
        self.opened.remove(&id);
        Ok(())
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &str,
        value: &str,
        session: &mut russh::server::Session,
    ) -> Result<(), Self::Error> {
        match (self.opened.get_mut(&id), checked_protocol(value)) {
            (Some(opened), Some(value)) if name == "GIT_PROTOCOL" => {
                opened.protocol = Some(value.to_owned());
                session.channel_success(id)
            }
            _ => session.channel_failure(id),
        }
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut russh::server::Session,
    ) -> Result<(), Self::Error> {
        // Granted so that the shell request follows, whose answer explains.
        session.channel_success(id)
    }

    async fn shell_request(
        &mut self,
        id: ChannelId,
        session: &mut russh::server::Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(id)?;
        let email = self
            .account
            .as_ref()
            .map_or("", |account| account.email.as_str());
        let text = format!(
            "Hello {email}! Your key works, but there is no shell here: this is git's door.\r\nTo deploy: git push paas main. For a shell in a dyno: paas run bash\r\n"
        );
        self.begin(id, Work::Refuse(text));
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        data: &[u8],
        session: &mut russh::server::Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(id)?;
        let work = match std::str::from_utf8(data).ok().and_then(command::parse) {
            Some(request) => Work::Git(request),
            None => Work::Refuse(
                " !     Only git is spoken here: git-receive-pack and git-upload-pack of <app>.git.\n".to_owned(),
            ),
        };
        self.begin(id, work);
        Ok(())
    }
}
