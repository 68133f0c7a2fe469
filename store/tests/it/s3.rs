//! A few operations of S3's language over plain HTTP, enough for a blob store, and the blob store on it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use model::Secret;
use store::blob::copy_all;
use store::{BlobConfig, BlobError, BlobStore, S3Credentials};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::blob::{keeps_its_promises, large};

#[derive(Default)]
struct Objects {
    whole: BTreeMap<String, Bytes>,
    /// Of uploads under way, by key and number.
    parts: BTreeMap<String, BTreeMap<u32, Bytes>>,
    uploads_completed: u32,
}

struct FakeS3 {
    endpoint: String,
    objects: Arc<Mutex<Objects>>,
    _server: JoinSet<()>,
}

impl FakeS3 {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let objects = Arc::<Mutex<Objects>>::default();
        let mut server = JoinSet::new();
        server.spawn(serve(listener, objects.clone()));
        Self {
            endpoint,
            objects,
            _server: server,
        }
    }

    fn open(&self, prefix: Option<&str>) -> BlobStore {
        let credentials = S3Credentials {
            access_key_id: "an id".to_owned(),
            secret_access_key: Secret::from("a secret"),
        };
        let config = BlobConfig::S3 {
            bucket: "bucket".to_owned(),
            region: "eu-west-1".to_owned(),
            endpoint: Some(self.endpoint.clone()),
            prefix: prefix.map(str::to_owned),
            credentials: Some(credentials),
            allow_http: true,
        };
        BlobStore::open(&config).unwrap()
    }
}

async fn serve(listener: TcpListener, objects: Arc<Mutex<Objects>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let objects = objects.clone();
        let service = service_fn(move |request| answer(request, objects.clone()));
        connections.spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    objects: Arc<Mutex<Objects>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let is_signed = head
        .headers
        .get("authorization")
        .is_some_and(|value| value.to_str().unwrap().contains("an id/"));
    if !is_signed {
        return Ok(respond(StatusCode::FORBIDDEN, Bytes::new()));
    }
    let key = head
        .uri
        .path()
        .trim_start_matches("/bucket")
        .trim_start_matches('/')
        .to_owned();
    let query: BTreeMap<String, String> = head
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.replace("%2F", "/")))
        .collect();
    Ok(act(
        &head.method,
        &key,
        &query,
        body,
        &mut objects.lock().unwrap(),
    ))
}

fn act(
    method: &Method,
    key: &str,
    query: &BTreeMap<String, String>,
    body: Bytes,
    objects: &mut Objects,
) -> Response<Full<Bytes>> {
    let has = |name: &str| query.contains_key(name);
    match *method {
        Method::POST if has("uploads") => {
            objects.parts.insert(key.to_owned(), BTreeMap::new());
            let id = "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>";
            respond(StatusCode::OK, id.into())
        }
        Method::PUT if has("partNumber") => {
            let number = query["partNumber"].parse().unwrap();
            objects.parts.get_mut(key).unwrap().insert(number, body);
            respond(StatusCode::OK, Bytes::new())
        }
        Method::POST if has("uploadId") => {
            let parts = objects.parts.remove(key).unwrap();
            objects
                .whole
                .insert(key.to_owned(), parts.into_values().flatten().collect());
            objects.uploads_completed += 1;
            let done =
                "<CompleteMultipartUploadResult><ETag>\"x\"</ETag></CompleteMultipartUploadResult>";
            respond(StatusCode::OK, done.into())
        }
        Method::PUT => {
            objects.whole.insert(key.to_owned(), body);
            respond(StatusCode::OK, Bytes::new())
        }
        Method::GET if has("list-type") => respond(
            StatusCode::OK,
            listing(query.get("prefix").map_or("", String::as_str), objects).into(),
        ),
        Method::GET | Method::HEAD => match objects.whole.get(key) {
            Some(bytes) => respond(StatusCode::OK, bytes.clone()),
            None => respond(StatusCode::NOT_FOUND, Bytes::new()),
        },
        Method::DELETE => {
            objects.whole.remove(key);
            respond(StatusCode::NO_CONTENT, Bytes::new())
        }
        _ => respond(StatusCode::METHOD_NOT_ALLOWED, Bytes::new()),
    }
}

fn listing(prefix: &str, objects: &Objects) -> String {
    let mut text = "<ListBucketResult><IsTruncated>false</IsTruncated>".to_owned();
    let now = model::Timestamp::now();
    for (key, bytes) in objects
        .whole
        .iter()
        .filter(|(key, _)| key.starts_with(prefix))
    {
        let size = bytes.len();
        write!(
            text,
            "<Contents><Key>{key}</Key><LastModified>{now:.3}</LastModified><Size>{size}</Size><ETag>\"x\"</ETag></Contents>"
        )
        .unwrap();
    }
    text + "</ListBucketResult>"
}

fn respond(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let now = model::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    Response::builder()
        .status(status)
        .header("etag", "\"x\"")
        .header("content-length", body.len())
        .header(
            "last-modified",
            jiff::fmt::rfc2822::to_string(&now).unwrap(),
        )
        .body(Full::new(body))
        .unwrap()
}

#[tokio::test]
async fn s3_keeps_the_promises_of_a_blob_store() {
    let s3 = FakeS3::start().await;
    keeps_its_promises(&s3.open(None)).await;
    assert_eq!(
        s3.objects.lock().unwrap().uploads_completed,
        1,
        "the large blob went up in parts"
    );
}

#[tokio::test]
async fn two_prefixes_of_a_bucket_are_two_stores() {
    let s3 = FakeS3::start().await;
    keeps_its_promises(&s3.open(Some("one/deep"))).await;
    keeps_its_promises(&s3.open(Some("/two/"))).await;
    let objects = s3.objects.lock().unwrap();
    assert!(
        objects
            .whole
            .keys()
            .all(|key| key.starts_with("one/deep/") || key.starts_with("two/"))
    );
}

#[tokio::test]
async fn what_s3_has_damaged_is_noticed() {
    let s3 = FakeS3::start().await;
    let blobs = s3.open(None);
    let checksum = blobs.put_bytes(large().into()).await.unwrap();
    let key = format!("{}/{checksum}", &checksum.as_str()[..2]);
    {
        let mut objects = s3.objects.lock().unwrap();
        let mut bytes = objects.whole[&key].to_vec();
        bytes[4711] ^= 1;
        objects.whole.insert(key, bytes.into());
    }
    let dir = tempfile::tempdir().unwrap();
    let fetched = blobs.fetch_to(&checksum, &dir.path().join("blob")).await;
    assert!(
        matches!(fetched, Err(BlobError::Damaged { .. })),
        "{fetched:?}"
    );
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        0,
        "no partial file"
    );
    assert!(matches!(
        blobs.read(&checksum, u64::MAX).await,
        Err(BlobError::Damaged { .. })
    ));
}

#[tokio::test]
async fn blobs_are_copied_to_s3_and_read_back_and_a_second_run_ends_what_the_first_began() {
    let (s3, dir) = (FakeS3::start().await, tempfile::tempdir().unwrap());
    let scratch = dir.path().join("scratch");
    let source = BlobStore::open(&BlobConfig::Local {
        dir: dir.path().join("blobs"),
    })
    .unwrap();
    let target = s3.open(Some("new"));
    let big = source.put_bytes(large().into()).await.unwrap();
    for text in ["one", "two", "three"] {
        source.put_bytes(text.into()).await.unwrap();
    }
    let copied = copy_all(&source, &target, &scratch, |_, _| {})
        .await
        .unwrap();
    assert_eq!((copied.blobs, copied.written), (4, 4));

    // As if it had been cut short.
    s3.objects.lock().unwrap().whole.retain(|key, bytes| {
        if key.contains(big.as_str()) {
            bytes.truncate(9);
            true
        } else {
            bytes.as_ref() != b"two"
        }
    });
    let mut told = Vec::new();
    let again = copy_all(&source, &target, &scratch, |done, all| {
        told.push((done, all))
    })
    .await
    .unwrap();
    assert_eq!((again.blobs, again.written), (4, 2));
    assert_eq!(told, [(1, 4), (2, 4), (3, 4), (4, 4)]);
    assert!(target.read(&big, u64::MAX).await.unwrap() == large());
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0);

    std::fs::write(source.local_path(&big).unwrap(), "decayed").unwrap();
    target.delete(&big).await.unwrap();
    let damaged = copy_all(&source, &target, &scratch, |_, _| {}).await;
    assert!(
        matches!(damaged, Err(BlobError::Damaged { .. })),
        "{damaged:?}"
    );
}
