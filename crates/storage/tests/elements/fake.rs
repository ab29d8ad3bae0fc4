//! An S3 server inside the test: honest by default, and each kind of dishonesty,
//! forgetfulness and failure at a switch.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};

use aquifer_digest::{Crc64Nvme, Digests};
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use md5::{Digest as _, Md5};
use tokio::task::JoinSet;

const CHECKSUM: &str = "x-amz-checksum-crc64nvme";

/// What the server does wrong.
#[derive(Debug, Clone, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fault of its own, and any may come together"
)]
pub(crate) struct Faults {
    /// Takes wrong checksums and echoes them.
    pub(crate) takes_wrong_checksums: bool,
    /// Takes wrong checksums of the whole only.
    pub(crate) takes_wrong_wholes: bool,
    /// Overwrites whatever the condition says.
    pub(crate) ignores_conditions: bool,
    /// Overwrites when completing, whatever the condition says.
    pub(crate) ignores_complete_conditions: bool,
    /// Takes no payload that is not signed.
    pub(crate) wants_signed_payloads: bool,
    /// Tells no checksum of an object or a part.
    pub(crate) forgets_checksums: bool,
    /// Lets in only those with keys that were given for this token.
    pub(crate) wants_token: Option<String>,
    /// Takes none of the keys that were given, however new.
    pub(crate) takes_no_keys: bool,
    /// Tells that the keys it gives live so long; it takes them until told otherwise.
    pub(crate) keys_live: Option<SignedDuration>,
    /// Says of uploads that they were begun so long ago.
    pub(crate) begun_ago: Option<SignedDuration>,
    /// Carries out the next so many writes of objects but answers 500; claims apart.
    pub(crate) lost_replies: usize,
    /// Answers the next so many parts with 503.
    pub(crate) slow_downs: usize,
    /// Answers the next so many completions with 503 and does nothing.
    pub(crate) unreachable_completions: usize,
    /// Flips a bit of the next so many parts on arrival.
    pub(crate) flipped_parts: usize,
    /// Puts this object under the key just before a completion.
    pub(crate) faster_writer: Option<Bytes>,
}

#[derive(Debug, Clone)]
struct Object {
    bytes: Bytes,
    crc64nvme: Option<String>,
    metadata: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Upload {
    key: String,
    metadata: BTreeMap<String, String>,
    parts: BTreeMap<i32, Bytes>,
}

#[derive(Debug, Default)]
struct Kept {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
    begun: usize,
    asked: Vec<Method>,
    keys_given: usize,
    keys_refused: usize,
    keys_taken: Vec<String>,
    faults: Faults,
}

/// A running server. It ends with the value.
pub(crate) struct Fake {
    pub(crate) endpoint: String,
    kept: Arc<Mutex<Kept>>,
    _server: JoinSet<()>,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let kept = Arc::<Mutex<Kept>>::default();
        let router = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&kept));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            endpoint,
            kept,
            _server: server,
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    pub(crate) fn set(&self, faults: Faults) {
        self.kept().faults = faults;
    }

    /// Ids of the unfinished uploads.
    pub(crate) fn uploads(&self) -> Vec<String> {
        self.kept().uploads.keys().cloned().collect()
    }

    /// How many parts an unfinished upload has.
    pub(crate) fn parts(&self, upload: &str) -> usize {
        self.kept().uploads[upload].parts.len()
    }

    /// Another writer ends all uploads at this moment; the first of them becomes an
    /// object of `bytes`, if there are some.
    pub(crate) fn end_uploads(&self, bytes: Option<&[u8]>) {
        let mut kept = self.kept();
        let uploads = std::mem::take(&mut kept.uploads);
        if let (Some(upload), Some(bytes)) = (uploads.into_values().next(), bytes) {
            let object = Object {
                crc64nvme: Some(Digests::of(bytes).crc64nvme.to_base64()),
                bytes: Bytes::copy_from_slice(bytes),
                metadata: upload.metadata,
            };
            kept.objects.insert(upload.key, object);
        }
    }

    /// How many uploads were ever begun.
    pub(crate) fn uploads_begun(&self) -> usize {
        self.kept().begun
    }

    /// From now on none of the keys that were given is taken, and only those for
    /// another token will be.
    pub(crate) fn end_sessions(&self, wants_token: &str) {
        let mut kept = self.kept();
        kept.keys_taken.clear();
        kept.faults.wants_token = Some(wants_token.to_owned());
    }

    /// How often keys were given, and requests refused for theirs.
    pub(crate) fn sessions(&self) -> (usize, usize) {
        let kept = self.kept();
        (kept.keys_given, kept.keys_refused)
    }

    /// The methods of all requests since this was last called.
    pub(crate) fn asked(&self) -> Vec<Method> {
        std::mem::take(&mut self.kept().asked)
    }

    /// Names of the objects.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.kept().objects.keys().cloned().collect()
    }

    /// Bytes of the object that ends with `name`.
    pub(crate) fn bytes(&self, name: &str) -> Option<Bytes> {
        let kept = self.kept();
        let mut objects = kept.objects.iter();
        let found = objects.find(|(key, _)| key.ends_with(name));
        found.map(|(_, object)| object.bytes.clone())
    }
}

type Parameters = HashMap<String, String>;

async fn answer(
    State(kept): State<Arc<Mutex<Kept>>>,
    method: Method,
    uri: Uri,
    Query(query): Query<Parameters>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut kept = kept.lock().unwrap();
    kept.asked.push(method.clone());
    let key = uri
        .path()
        .trim_start_matches("/raw")
        .trim_start_matches('/');
    let key = key.to_owned();
    let upload = query.get("uploadId").cloned();
    let hash = header(&headers, "x-amz-content-sha256");
    if kept.faults.wants_signed_payloads && hash.as_deref() == Some("UNSIGNED-PAYLOAD") {
        return error(StatusCode::BAD_REQUEST, "XAmzContentSHA256Mismatch");
    }
    let session = header(&headers, "x-amz-security-token").unwrap_or_default();
    if method == Method::POST && uri.path() == "/" {
        return kept.give_keys(&body);
    }
    let known = kept.keys_taken.contains(&session) && !kept.faults.takes_no_keys;
    if kept.faults.wants_token.is_some() && !known {
        kept.keys_refused += 1;
        return error(StatusCode::BAD_REQUEST, "ExpiredToken");
    }
    match (method.as_str(), key.as_str(), upload) {
        ("GET", "", _) if query.contains_key("uploads") => kept.list_uploads(&query),
        ("GET", "", _) => kept.list(&query),
        ("HEAD" | "PUT", "", _) => plain(StatusCode::OK),
        ("POST", _, None) => kept.begin(key, &headers),
        ("POST", _, Some(id)) => kept.complete(&id, &headers, &body),
        ("GET", _, Some(id)) => kept.list_parts(&id, &query),
        ("PUT", _, Some(id)) => kept.part(&id, &query, &headers, body),
        ("DELETE", _, Some(id)) => match kept.uploads.remove(&id) {
            Some(_) => plain(StatusCode::NO_CONTENT),
            None => error(StatusCode::NOT_FOUND, "NoSuchUpload"),
        },
        ("PUT", _, None) => kept.put(key, &headers, body),
        ("DELETE", _, None) => {
            kept.objects.remove(&key);
            plain(StatusCode::NO_CONTENT)
        }
        (method, _, None) => kept.get(&key, method == "HEAD", &headers),
        _ => error(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
    }
}

impl Kept {
    /// `AssumeRoleWithWebIdentity`.
    fn give_keys(&mut self, body: &[u8]) -> Response {
        let form = String::from_utf8_lossy(body);
        let value = |name: &str| {
            let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
            let found = pairs.find(|(found, _)| *found == name);
            found.map(|(_, value)| value.to_owned())
        };
        assert_eq!(value("Action").unwrap(), "AssumeRoleWithWebIdentity");
        assert_eq!(
            value("RoleArn").unwrap(),
            "arn%3Aaws%3Aiam%3A%3Arole%2FIngest"
        );
        if value("WebIdentityToken") != self.faults.wants_token {
            return error(StatusCode::BAD_REQUEST, "InvalidIdentityToken");
        }
        self.keys_given += 1;
        let session = format!("session-{}", self.keys_given);
        self.keys_taken.push(session.clone());
        let life = self
            .faults
            .keys_live
            .unwrap_or(SignedDuration::from_hours(1));
        let expiration = Timestamp::now() + life;
        xml(format!(
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
             <AccessKeyId>k</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>{session}</SessionToken><Expiration>{expiration}</Expiration>\
             </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        ))
    }

    fn put(&mut self, key: String, headers: &HeaderMap, body: Bytes) -> Response {
        let claimed = header(headers, CHECKSUM);
        if !self.faults.takes_wrong_checksums && !is_right(claimed.as_deref(), &body) {
            return error(StatusCode::BAD_REQUEST, "BadDigest");
        }
        self.place(key, headers, body, claimed, metadata(headers), false)
    }

    /// The object appears, if the condition holds.
    fn place(
        &mut self,
        key: String,
        headers: &HeaderMap,
        bytes: Bytes,
        crc64nvme: Option<String>,
        metadata: BTreeMap<String, String>,
        completing: bool,
    ) -> Response {
        let ignored = completing && self.faults.ignores_complete_conditions;
        let conditional =
            !ignored && headers.contains_key("if-none-match") && !self.faults.ignores_conditions;
        if conditional && self.objects.contains_key(&key) {
            return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
        let crc64nvme = crc64nvme.filter(|_| !self.faults.forgets_checksums);
        let object = Object {
            bytes,
            crc64nvme,
            metadata,
        };
        let claim = key.contains("/.aquifer-claims/");
        self.objects.insert(key, object);
        if !claim && take_one(&mut self.faults.lost_replies) {
            return error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError");
        }
        let body =
            "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>";
        Response::builder()
            .header("etag", "\"e\"")
            .body(Body::from(body))
            .unwrap()
    }

    fn begin(&mut self, key: String, headers: &HeaderMap) -> Response {
        self.begun += 1;
        let id = format!("upload-{}", self.begun);
        let upload = Upload {
            key,
            metadata: metadata(headers),
            parts: BTreeMap::new(),
        };
        self.uploads.insert(id.clone(), upload);
        xml(format!(
            "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        ))
    }

    fn part(&mut self, id: &str, query: &Parameters, headers: &HeaderMap, body: Bytes) -> Response {
        if take_one(&mut self.faults.slow_downs) {
            return error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown");
        }
        let mut body = body;
        if take_one(&mut self.faults.flipped_parts) {
            let mut bytes = body.to_vec();
            bytes[0] ^= 1;
            body = Bytes::from(bytes);
        }
        let claimed = header(headers, CHECKSUM);
        if !self.faults.takes_wrong_checksums && !is_right(claimed.as_deref(), &body) {
            return error(StatusCode::BAD_REQUEST, "BadDigest");
        }
        let number = query["partNumber"].parse().unwrap();
        let Some(upload) = self.uploads.get_mut(id) else {
            return error(StatusCode::NOT_FOUND, "NoSuchUpload");
        };
        let tag = tag(&body);
        upload.parts.insert(number, body);
        Response::builder()
            .header("etag", tag)
            .body(Body::empty())
            .unwrap()
    }

    fn complete(&mut self, id: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        if take_one(&mut self.faults.unreachable_completions) {
            return error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable");
        }
        let Some(upload) = self.uploads.get(id) else {
            return error(StatusCode::NOT_FOUND, "NoSuchUpload");
        };
        let key = upload.key.clone();
        let metadata = upload.metadata.clone();
        let mut parts = Vec::new();
        for (number, wanted) in parts_wanted(body) {
            match upload.parts.get(&number) {
                Some(part) if tag(part) == wanted => parts.push(part.clone()),
                _ => return error(StatusCode::BAD_REQUEST, "InvalidPart"),
            }
        }
        let bytes = Bytes::from(parts.concat());
        if let Some(faster) = self.faults.faster_writer.take() {
            let object = Object {
                crc64nvme: Some(Digests::of(&faster).crc64nvme.to_base64()),
                bytes: faster,
                metadata: BTreeMap::new(),
            };
            self.objects.insert(key.clone(), object);
        }
        let claimed = header(headers, CHECKSUM);
        let lies = self.faults.takes_wrong_checksums || self.faults.takes_wrong_wholes;
        if !lies && !is_right(claimed.as_deref(), &bytes) {
            return error(StatusCode::BAD_REQUEST, "BadDigest");
        }
        if header(headers, "x-amz-mp-object-size") != Some(bytes.len().to_string()) {
            return error(StatusCode::BAD_REQUEST, "InvalidRequest");
        }
        let answer = self.place(key, headers, bytes, claimed, metadata, true);
        if answer.status() != StatusCode::PRECONDITION_FAILED {
            self.uploads.remove(id);
        }
        answer
    }

    /// Pages of two parts.
    fn list_parts(&self, id: &str, query: &Parameters) -> Response {
        let Some(upload) = self.uploads.get(id) else {
            return error(StatusCode::NOT_FOUND, "NoSuchUpload");
        };
        let after = query.get("part-number-marker");
        let after: i32 = after.map_or(0, |text| text.parse().unwrap());
        let mut parts = upload.parts.range(after + 1..);
        let mut answer = String::from("<ListPartsResult>");
        for (number, bytes) in parts.by_ref().take(2) {
            let (size, tag) = (bytes.len(), tag(bytes));
            write!(
                answer,
                "<Part><PartNumber>{number}</PartNumber><Size>{size}</Size><ETag>{tag}</ETag>"
            )
            .unwrap();
            if !self.faults.forgets_checksums {
                let crc64nvme = Digests::of(bytes).crc64nvme.to_base64();
                write!(answer, "<ChecksumCRC64NVME>{crc64nvme}</ChecksumCRC64NVME>").unwrap();
            }
            write!(
                answer,
                "</Part><NextPartNumberMarker>{number}</NextPartNumberMarker>"
            )
            .unwrap();
        }
        let truncated = parts.next().is_some();
        write!(
            answer,
            "<IsTruncated>{truncated}</IsTruncated></ListPartsResult>"
        )
        .unwrap();
        xml(answer)
    }

    fn get(&self, key: &str, head: bool, headers: &HeaderMap) -> Response {
        let Some(object) = self.objects.get(key) else {
            return error(StatusCode::NOT_FOUND, "NoSuchKey");
        };
        let mut response = Response::builder()
            .header("etag", "\"e\"")
            .header("last-modified", "Sun, 22 Nov 2026 05:00:00 GMT");
        for (name, value) in &object.metadata {
            response = response.header(name, value);
        }
        if let Some(crc64nvme) = &object.crc64nvme {
            response = response.header(CHECKSUM, crc64nvme);
        }
        if head {
            let response = response.header("content-length", object.bytes.len());
            return response.body(Body::empty()).unwrap();
        }
        let Some(range) = header(headers, "range") else {
            return response.body(Body::from(object.bytes.clone())).unwrap();
        };
        let (start, last) = range["bytes=".len()..].split_once('-').unwrap();
        let (start, last): (usize, usize) = (start.parse().unwrap(), last.parse().unwrap());
        response
            .status(StatusCode::PARTIAL_CONTENT)
            .body(Body::from(object.bytes.slice(start..=last)))
            .unwrap()
    }

    /// Pages of two keys, so that paging is tried.
    fn list(&self, query: &Parameters) -> Response {
        let prefix = query.get("prefix").cloned().unwrap_or_default();
        let after = query.get("continuation-token").cloned().unwrap_or_default();
        let mut keys = self
            .objects
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix) && **key > after);
        let mut answer = String::from("<ListBucketResult>");
        for (key, object) in keys.by_ref().take(2) {
            let size = object.bytes.len();
            write!(
                answer,
                "<Contents><Key>{key}</Key><Size>{size}</Size></Contents>\
                 <NextContinuationToken>{key}</NextContinuationToken>"
            )
            .unwrap();
        }
        let truncated = keys.next().is_some();
        write!(
            answer,
            "<IsTruncated>{truncated}</IsTruncated></ListBucketResult>"
        )
        .unwrap();
        xml(answer)
    }

    fn list_uploads(&self, query: &Parameters) -> Response {
        let prefix = query.get("prefix").cloned().unwrap_or_default();
        let mut answer = String::from("<ListMultipartUploadsResult>");
        for (id, upload) in &self.uploads {
            if upload.key.starts_with(&prefix) {
                let key = &upload.key;
                // Later ones were begun later.
                let number: i64 = id["upload-".len()..].parse().unwrap();
                let ago = self.faults.begun_ago.unwrap_or_default();
                let begun = Timestamp::now() - ago + SignedDuration::from_millis(number);
                write!(
                    answer,
                    "<Upload><Key>{key}</Key><UploadId>{id}</UploadId>\
                     <Initiated>{begun}</Initiated></Upload>"
                )
                .unwrap();
            }
        }
        xml(answer + "</ListMultipartUploadsResult>")
    }
}

/// The tag of a part.
fn tag(bytes: &[u8]) -> String {
    format!("\"{:x}\"", Bytes::copy_from_slice(&Md5::digest(bytes)))
}

/// Numbers and tags of the parts in the body of a completion.
fn parts_wanted(body: &[u8]) -> Vec<(i32, String)> {
    let body = String::from_utf8_lossy(body).replace("&quot;", "\"");
    let value = |part: &str, name: &str| {
        let (_, rest) = part.split_once(&format!("<{name}>")).unwrap();
        rest.split_once('<').unwrap().0.to_owned()
    };
    let parts = body.split("<Part>").skip(1);
    parts
        .map(|part| {
            let number = value(part, "PartNumber").parse().unwrap();
            (number, value(part, "ETag"))
        })
        .collect()
}

fn take_one(left: &mut usize) -> bool {
    let any = *left > 0;
    *left = left.saturating_sub(1);
    any
}

fn is_right(claimed: Option<&str>, bytes: &[u8]) -> bool {
    let claimed = claimed.map(|text| Crc64Nvme::from_base64(text).unwrap());
    claimed.is_none_or(|claimed| claimed == Digests::of(bytes).crc64nvme)
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().unwrap();
    Some(value.to_owned())
}

fn metadata(headers: &HeaderMap) -> BTreeMap<String, String> {
    let own = headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-amz-meta-"));
    own.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect()
}

fn plain(status: StatusCode) -> Response {
    let response = Response::builder().status(status);
    response.body(Body::empty()).unwrap()
}

fn xml(body: String) -> Response {
    Response::new(Body::from(body))
}

fn error(status: StatusCode, code: &str) -> Response {
    let body = format!("<Error><Code>{code}</Code><Message>as the test wants</Message></Error>");
    let response = Response::builder().status(status);
    response.body(Body::from(body)).unwrap()
}
