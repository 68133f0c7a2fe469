//! A server of somebody's, which webhooks are sent to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use hmac::{Hmac, Mac as _};
use model::AppId;
use serde_json::{Value, json};
use sha2::Sha256;
use store::{Key, Store as _};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::{Platform, User, each, eventually};
use crate::world::id_of;

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) body: Value,
}

/// How a request is answered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    Status(u16),
    Redirect(SocketAddr),
    /// Only once the receiver is released.
    Hang,
}

#[derive(Debug, Default)]
struct Seen {
    requests: Vec<Request>,
    /// For the next requests; 204 for those after.
    answers: VecDeque<Answer>,
    under_way: usize,
    most_under_way: usize,
}

/// Somebody's server.
pub(crate) struct Receiver {
    pub(crate) addr: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    released: tokio::sync::watch::Sender<bool>,
    _task: AbortOnDropHandle<()>,
}

type Shared = (Arc<Mutex<Seen>>, tokio::sync::watch::Receiver<bool>);

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::default());
        let released = tokio::sync::watch::Sender::new(false);
        let shared: Shared = (Arc::clone(&seen), released.subscribe());
        let app = Router::new().fallback(receive).with_state(shared);
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            addr,
            seen,
            released,
            _task: AbortOnDropHandle::new(task),
        }
    }

    pub(crate) fn will_answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.seen.lock().unwrap().answers.extend(answers);
    }

    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hooks", self.addr)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().requests.clone()
    }

    pub(crate) async fn got(&self, count: usize) -> Vec<Request> {
        eventually("the receiver gets its requests", async || {
            self.requests().len() >= count
        })
        .await;
        self.requests()
    }

    pub(crate) fn most_under_way(&self) -> usize {
        self.seen.lock().unwrap().most_under_way
    }
}

async fn receive(
    State((seen, mut released)): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let answer = {
        let mut seen = seen.lock().unwrap();
        seen.requests.push(Request {
            headers,
            body: serde_json::from_str(&text).unwrap(),
            text,
        });
        seen.under_way += 1;
        seen.most_under_way = seen.most_under_way.max(seen.under_way);
        seen.answers.pop_front().unwrap_or(Answer::Status(204))
    };
    if matches!(answer, Answer::Hang) {
        released.wait_for(|released| *released).await.unwrap();
    }
    seen.lock().unwrap().under_way -= 1;
    match answer {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Redirect(to) => {
            let location = format!("http://{to}/hooks");
            (StatusCode::TEMPORARY_REDIRECT, [("location", location)]).into_response()
        }
        Answer::Hang => StatusCode::NO_CONTENT.into_response(),
    }
}

impl Request {
    /// `release create pending`.
    fn told(&self) -> String {
        let data = &self.body["data"];
        let state = ["status", "state", "quantity", "maintenance", "hostname"];
        let state = state.iter().map(|name| &data[*name]).find(|v| !v.is_null());
        let state = state.map(|state| state.to_string().replace('"', ""));
        let text = |name: &str| self.body[name].as_str().unwrap().to_owned();
        let words = [text("resource"), text("action"), state.unwrap_or_default()];
        words.join(" ").trim_end().to_owned()
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.body["sequence"].as_u64().unwrap()
    }
}

pub(crate) fn told(requests: &[Request]) -> Vec<String> {
    requests.iter().map(Request::told).collect()
}

pub(crate) async fn add(user: &User, app: &str, include: &[&str], level: &str, url: &str) -> Value {
    let body = json!({"include": include, "level": level, "url": url});
    user.post(&format!("/apps/{app}/webhooks"), body)
        .await
        .expect(201)
}

/// Each change is an event of `api:app`.
pub(crate) async fn switch_maintenance(user: &User, on: bool) {
    user.patch("/apps/ticks", json!({"maintenance": on}))
        .await
        .expect(200);
}

pub(crate) async fn deliveries(user: &User) -> Value {
    user.get_range("/apps/ticks/webhook-deliveries", "id ..; max=1000")
        .await
        .expect(200)
}

pub(crate) async fn eventually_statuses(user: &User, expected: &[&str]) {
    eventually("deliveries get on", async || {
        each(&deliveries(user).await, "status") == expected
    })
    .await;
}

/// Every record that webhooks have made.
pub(crate) async fn leftovers(platform: &Platform) -> Vec<String> {
    let listing = platform.store.list(&Key::root()).await.unwrap();
    let keys = listing.entries.into_iter();
    keys.map(|entry| entry.key.to_string())
        .filter(|key| key.starts_with(&format!("{}webhook", Key::root())))
        .collect()
}

pub(crate) fn signature(secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

pub(crate) async fn ticks(platform: &Platform) -> (User, AppId) {
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    (ann, app)
}
