//! A forwarder on loopback: plain HTTP here, verified TLS to the platform.
//!
//! It adds nothing of its own, least of all a token: whoever asks brings one.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Result;
use controller_api::{Client, keep_end_to_end};
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use reqwest::Body;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::failure::Failure;

/// Before another connection is taken when one could not be.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Forwarder {
    listener: TcpListener,
    port: u16,
    client: Client,
}

impl Forwarder {
    /// `port` 0 is any that is free.
    pub(crate) async fn bind(client: Client, port: u16) -> Result<Self> {
        let bound = async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
            let port = listener.local_addr()?.port();
            Ok::<_, std::io::Error>((listener, port))
        };
        let (listener, port) = bound.await.map_err(|error| {
            Failure::new(format!("could not listen on 127.0.0.1:{port}: {error}"))
                .advise("Choose another port with --port.")
        })?;
        Ok(Self {
            listener,
            port,
            client,
        })
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// For ever.
    pub(crate) async fn serve(&self) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(serve(stream, self.client.clone(), self.port));
                    }
                    // Out of file descriptors, most likely: some will come back.
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
    }
}

async fn serve(stream: TcpStream, client: Client, port: u16) {
    let service = service_fn(|request| answer(&client, port, request));
    // Whoever breaks off knows it.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    client: &Client,
    port: u16,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    if !is_for_us(&parts.headers, port) {
        // A web page somewhere may have its name lead to this machine.
        let words = "This forwarder is for programs on this machine that ask for 127.0.0.1.";
        return Ok(refusal(StatusCode::MISDIRECTED_REQUEST, words));
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    if parts.method == Method::GET && path.starts_with(BROWSER) {
        return Ok(redirect(client, path));
    }
    let answered = client
        .forward(parts.method, path, parts.headers, Body::wrap(body))
        .await;
    Ok(match answered {
        Ok(response) => {
            let mut response = Response::from(response);
            keep_end_to_end(response.headers_mut());
            response
        }
        Err(error) => refusal(
            StatusCode::BAD_GATEWAY,
            &format!("{:#}", anyhow::Error::from(error)),
        ),
    })
}

fn is_for_us(headers: &HeaderMap, port: u16) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let names = ["127.0.0.1", "localhost"];
    host.is_some_and(|host| match host.split_once(':') {
        Some((name, at)) => names.contains(&name) && at.parse() == Ok(port),
        None => names.contains(&host) && port == 80,
    })
}

/// Pages that ask for a password are seen where they are from, under the platform's own name.
const BROWSER: &str = "/auth/browser/";

fn redirect(client: &Client, path: &str) -> Response<Body> {
    let to = format!("{}{path}", client.base_url().as_str().trim_end_matches('/'));
    let mut response = Response::new(Body::from(""));
    if let Ok(to) = HeaderValue::try_from(to) {
        *response.status_mut() = StatusCode::FOUND;
        response.headers_mut().insert(http::header::LOCATION, to);
    }
    response
}

/// As the platform words what goes wrong.
fn refusal(status: StatusCode, message: &str) -> Response<Body> {
    let text = serde_json::json!({"id": "forwarder", "message": message}).to_string();
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_asks_for_this_machine_is_answered() {
        for (host, is_answered) in [
            (Some("127.0.0.1:5100"), true),
            (Some("localhost:5100"), true),
            (Some("127.0.0.1:5101"), false),
            (Some("evil.example.com:5100"), false),
            (Some("127.0.0.1"), false),
            (None, false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(host) = host {
                headers.insert(HOST, host.parse().unwrap());
            }
            assert_eq!(is_for_us(&headers, 5100), is_answered, "{host:?}");
        }
    }
}
