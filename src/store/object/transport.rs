//! Requests over HTTP, at a stated rate, given up when they stall, with answers checked.
//!
//! The plain client of `object_store` has one timeout for a whole request, which either kills a
//! large pack on a slow link or waits half an hour for a dead one; it takes any XML, a proxy's
//! login page too, for an empty listing; and it takes 409 for "exists". Hence this one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http_body_util::BodyExt;
use object_store::{
    ClientConfigKey, ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
        HttpResponse, HttpResponseBody, HttpService,
    },
};
use tokio::time::{Instant, sleep, timeout};

use super::failure::Failure;
use crate::{limits::PACK_MAX_BYTES, store::pace::Pace};

/// A server that got all of a request with a body may take so many times the stall time to answer:
/// the last bytes still lie in buffers on the way, and it may be syncing.
const ANSWER_STALLS: u32 = 3;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// So much of an error's body is looked at.
const MESSAGE_MAX_BYTES: usize = 300;

/// What all connections of a store share.
#[derive(Debug)]
pub struct Lines {
    pub up: Option<Pace>,
    pub down: Option<Pace>,
    pub stall: Duration,
    /// Certificates to trust, as PEM, beside the system's.
    pub ca_pem: Option<Vec<u8>>,
    pub proxy: Option<String>,
    /// Where the paces' time starts.
    pub start: Instant,
}

impl Lines {
    async fn wait(&self, pace: &Option<Pace>, bytes: usize) {
        if let Some(pace) = pace {
            sleep(pace.send(bytes, self.start.elapsed())).await;
        }
    }
}

/// Makes clients for `object_store`: one for the bucket, others for servers that give credentials.
#[derive(Debug)]
pub struct Connector(pub Arc<Lines>);

impl Connector {
    fn client(&self, options: &ClientOptions) -> reqwest::Result<reqwest::Client> {
        let lines = &self.0;
        let plain =
            options.get_config_value(&ClientConfigKey::AllowHttp).as_deref() == Some("true");
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("icecore/", env!("CARGO_PKG_VERSION")))
            .https_only(!plain)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT.min(lines.stall))
            // Sent bytes that nobody acknowledges: the kernel sees a dead line first.
            .tcp_user_timeout(lines.stall)
            .http1_only()
            .no_proxy();
        if let Some(proxy) = &lines.proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy)?);
        }
        if let Some(pem) = &lines.ca_pem {
            builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(pem)?);
        }
        builder.build()
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = self.client(options).map_err(|error| object_store::Error::Generic {
            store: "S3",
            source: Box::new(Failure::Connect(Arc::new(error))),
        })?;
        Ok(HttpClient::new(Transport { client, lines: self.0.clone() }))
    }
}

#[derive(Debug)]
struct Transport {
    client: reqwest::Client,
    lines: Arc<Lines>,
}

#[async_trait::async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let exchanged = self.exchange(request).await;
        // The kind would only matter to retries inside `object_store`, of which there are none.
        exchanged.map_err(|failure| HttpError::new(HttpErrorKind::Unknown, failure))
    }
}

/// How far a request's body has come.
#[derive(Default)]
struct Sending {
    pieces: AtomicU64,
    /// It waits for its turn on a limited line, which is no stall.
    waits: AtomicBool,
}

impl Transport {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let (parts, body) = request.into_parts();
        let is_listing = parts.uri.query().is_some_and(|query| query.contains("list-type=2"));
        let url = parts.uri.to_string().parse().map_err(|_| Failure::BadUrl)?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        let sending = Arc::new(Sending::default());
        *request.body_mut() = Some(self.paced(body, sending.clone()));

        let mut response = self.send(request, &sending).await?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let body = self.receive(response).await?;
        if !status.is_success() {
            return Err(refusal(status.as_u16(), &body));
        }
        if is_listing {
            check_listing(&body)?;
        }
        let mut answer = HttpResponse::new(HttpResponseBody::from(body));
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Ok(answer)
    }

    fn paced(&self, body: HttpRequestBody, sending: Arc<Sending>) -> reqwest::Body {
        if body.content_length() == 0 {
            return Bytes::new().into();
        }
        let lines = self.lines.clone();
        reqwest::Body::wrap_stream(body.into_data_stream().then(move |piece| {
            let (lines, sending) = (lines.clone(), sending.clone());
            async move {
                sending.waits.store(true, Ordering::Relaxed);
                lines.wait(&lines.up, piece.as_ref().map_or(0, Bytes::len)).await;
                sending.waits.store(false, Ordering::Relaxed);
                sending.pieces.fetch_add(1, Ordering::Relaxed);
                piece
            }
        }))
    }

    async fn send(
        &self,
        request: reqwest::Request,
        sending: &Sending,
    ) -> Result<reqwest::Response, Failure> {
        let has_body = request.body().and_then(|body| body.as_bytes()) != Some(b"");
        let patience = self.lines.stall * if has_body { ANSWER_STALLS } else { 1 };
        let mut answer = std::pin::pin!(self.client.execute(request));
        loop {
            let pieces = sending.pieces.load(Ordering::Relaxed);
            match timeout(patience, &mut answer).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) if error.is_connect() => return Err(Failure::Connect(told(error))),
                Ok(Err(error)) => return Err(Failure::Broken(told(error))),
                Err(_) if sending.waits.load(Ordering::Relaxed) => {}
                Err(_) if sending.pieces.load(Ordering::Relaxed) > pieces => {}
                Err(_) => return Err(Failure::Stalled { seconds: patience.as_secs() }),
            }
        }
    }

    async fn receive(&self, mut response: reqwest::Response) -> Result<Bytes, Failure> {
        let stall = self.lines.stall;
        let length = response.content_length().unwrap_or(0);
        if length > PACK_MAX_BYTES as u64 {
            return Err(Failure::TooLong);
        }
        let mut body = BytesMut::new();
        loop {
            let piece = match timeout(stall, response.chunk()).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => return Ok(body.freeze()),
                Ok(Err(error)) => return Err(Failure::Broken(told(error))),
                Err(_) => return Err(Failure::Stalled { seconds: stall.as_secs() }),
            };
            if body.len() + piece.len() > PACK_MAX_BYTES {
                return Err(Failure::TooLong);
            }
            if body.is_empty() {
                // The answer to HEAD has a length and no body, so not before the first piece.
                body.reserve(length as usize);
            }
            body.extend_from_slice(&piece);
            self.lines.wait(&self.lines.down, piece.len()).await;
        }
    }
}

/// The URL of a signed request does not belong into messages.
fn told(error: reqwest::Error) -> Arc<reqwest::Error> {
    Arc::new(error.without_url())
}

fn refusal(status: u16, body: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(&body[..body.len().min(4096)]);
    let message = element(&text, "Message").unwrap_or_default();
    Failure::Status {
        status,
        code: element(&text, "Code").unwrap_or_default().into(),
        message: message.chars().take(MESSAGE_MAX_BYTES).filter(|c| !c.is_control()).collect(),
    }
}

/// The text of the first element of this name; enough for the flat errors of S3.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = xml.split_once(&format!("<{name}>"))?;
    Some(after.split_once(&format!("</{name}>"))?.0)
}

/// A page of a listing says what it is, ends, and tells how to go on when it is not the last one.
fn check_listing(body: &[u8]) -> Result<(), Failure> {
    let text = std::str::from_utf8(body).map_err(|_| Failure::NotAListing)?;
    if !text.contains("<ListBucketResult") {
        return Err(Failure::NotAListing);
    }
    if !text.trim_end().ends_with("</ListBucketResult>") {
        return Err(Failure::CutListing);
    }
    let goes_on = element(text, "IsTruncated").is_some_and(|truth| truth.trim() == "true");
    let tells_how = element(text, "NextContinuationToken").is_some_and(|token| !token.is_empty());
    if goes_on && !tells_how { Err(Failure::CutListing) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_listing_is_taken_for_one() {
        let page = |inside: &str| {
            check_listing(
                format!("<?xml?><ListBucketResult x=\"\">{inside}</ListBucketResult>\n").as_bytes(),
            )
        };
        page("").unwrap();
        page("<IsTruncated>false</IsTruncated><Contents/>").unwrap();
        page("<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>")
            .unwrap();
        assert!(matches!(page("<IsTruncated>true</IsTruncated>"), Err(Failure::CutListing)));
        let cut = check_listing(b"<ListBucketResult><Contents>");
        assert!(matches!(cut, Err(Failure::CutListing)));
        for no in ["", "<html>please log in</html>", "{}"] {
            assert!(matches!(check_listing(no.as_bytes()), Err(Failure::NotAListing)), "{no}");
        }
    }

    #[test]
    fn errors_are_read_from_what_servers_say() {
        let body = "<Error><Code>SlowDown</Code><Message>wait\na bit</Message></Error>";
        let Failure::Status { status, code, message } = refusal(503, body.as_bytes()) else {
            panic!("a status")
        };
        assert_eq!((status, code.as_str(), message.as_str()), (503, "SlowDown", "waita bit"));
        let Failure::Status { code, message, .. } = refusal(500, b"\xff<Code>cut") else {
            panic!("a status")
        };
        assert_eq!((code.as_str(), message.as_str()), ("", ""));
    }
}
