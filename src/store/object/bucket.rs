//! Which server a bucket is asked from, in which style, and with whose credentials.

use object_store::{
    RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey as Key},
};

use super::settings::Settings;
use crate::store::{
    ErrorKind,
    location::{Bucket, Endpoint},
};

/// Everything but the transport. Fails when there are no credentials and none could be had.
pub fn configure(at: &Bucket, settings: &Settings) -> Result<AmazonS3Builder, ErrorKind> {
    let server = Server::of(at, settings);
    let path_style = settings.path_style.unwrap_or(!server.is_amazon);
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&at.bucket)
        .with_region(&server.region)
        .with_virtual_hosted_style_request(!path_style)
        .with_allow_http(server.url.as_ref().is_some_and(|url| url.starts_with("http://")))
        .with_skip_signature(settings.anonymous)
        // One DELETE an object: the call for many is not everywhere, and wants other rights.
        .with_config(Key::DisableBulkDelete, "true")
        // `retry::Retry` does this, by the clock that it is handed.
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
    if let Some(url) = &server.url {
        builder = builder.with_endpoint(match url.split_once("://") {
            Some((scheme, host)) if !path_style => format!("{scheme}://{}.{host}", at.bucket),
            _ => url.clone(),
        });
    }
    for (variable, key) in CREDENTIALS {
        if let Some(value) = settings.environment.get(variable) {
            builder = builder.with_config(*key, value);
        }
    }
    // The last resort is to ask the cloud that the machine stands in, which only Amazon's answers.
    let given = SUFFICIENT.iter().any(|variable| settings.environment.contains_key(variable));
    if !given && !settings.anonymous && !server.is_amazon {
        return Err(ErrorKind::NoCredentials);
    }
    Ok(builder)
}

const CREDENTIALS: &[(&str, Key)] = &[
    ("AWS_ACCESS_KEY_ID", Key::AccessKeyId),
    ("AWS_SECRET_ACCESS_KEY", Key::SecretAccessKey),
    ("AWS_SESSION_TOKEN", Key::Token),
    ("AWS_ROLE_ARN", Key::RoleArn),
    ("AWS_ROLE_SESSION_NAME", Key::RoleSessionName),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", Key::WebIdentityTokenFile),
    ("AWS_ENDPOINT_URL_STS", Key::StsEndpoint),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", Key::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", Key::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Key::ContainerAuthorizationTokenFile),
];

/// One of these says that credentials are given, or where to get them.
const SUFFICIENT: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

#[derive(Debug, PartialEq, Eq)]
struct Server {
    /// `None`: Amazon's of the region; the library knows its addresses.
    url: Option<String>,
    region: String,
    is_amazon: bool,
}

impl Server {
    fn of(at: &Bucket, settings: &Settings) -> Server {
        let variable = |name: &str| settings.environment.get(name).cloned();
        let url = match &at.endpoint {
            Endpoint::Url(url) => Some(url.clone()),
            Endpoint::Host(host) if settings.allow_http => Some(format!("http://{host}")),
            Endpoint::Host(host) => Some(format!("https://{host}")),
            Endpoint::Usual => variable("AWS_ENDPOINT_URL_S3")
                .or_else(|| variable("AWS_ENDPOINT_URL"))
                .map(|url| url.trim_end_matches('/').to_owned()),
        };
        let amazon = url.as_deref().and_then(amazon_region);
        let region = (settings.region.clone())
            .or_else(|| amazon.filter(|region| !region.is_empty()).map(str::to_owned))
            .or_else(|| variable("AWS_REGION"))
            .or_else(|| variable("AWS_DEFAULT_REGION"))
            .unwrap_or_else(|| "us-east-1".to_owned());
        let is_amazon = url.is_none() || amazon.is_some();
        // `s3.amazonaws.com` without a region stands for all of them.
        let stands_for_all = amazon == Some("");
        Server { url: url.filter(|_| !stands_for_all), region, is_amazon }
    }
}

/// `https://s3.<region>.amazonaws.com` -> the region, "" when it is not named.
fn amazon_region(url: &str) -> Option<&str> {
    let host = url.split_once("://").map_or(url, |(_, host)| host);
    let middle = host.strip_prefix("s3")?.strip_suffix("amazonaws.com")?;
    Some(middle.trim_matches('.').trim_start_matches("dualstack."))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::location::{Location, parse};

    fn server(place: &str, options: &[(&str, &str)]) -> (Option<String>, String, bool) {
        let Location::S3(bucket) = parse(place).unwrap() else { panic!("{place} is in S3") };
        let options: BTreeMap<_, _> =
            options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let server = Server::of(&bucket, &Settings::parse(&options).unwrap());
        (server.url, server.region, server.is_amazon)
    }

    fn expect(url: &str, region: &str, is_amazon: bool) -> (Option<String>, String, bool) {
        ((!url.is_empty()).then(|| url.to_owned()), region.to_owned(), is_amazon)
    }

    #[test]
    fn servers_are_where_people_mean() {
        let here = [("AWS_REGION", "here-1")];
        let allow = [("s3.allow-http", "true")];
        let own = [("AWS_ENDPOINT_URL", "http://own:1/"), ("s3.region", "r-1")];
        for (place, options, expected) in [
            ("s3:h:9000/b", &[][..], expect("https://h:9000", "us-east-1", false)),
            ("s3:h:9000/b", &allow[..], expect("http://h:9000", "us-east-1", false)),
            ("s3:https://h/b", &allow[..], expect("https://h", "us-east-1", false)),
            ("s3:http://h/b", &here[..], expect("http://h", "here-1", false)),
            ("s3:s3.amazonaws.com/b", &here[..], expect("", "here-1", true)),
            (
                "s3:s3.eu-west-1.amazonaws.com/b",
                &here[..],
                expect("https://s3.eu-west-1.amazonaws.com", "eu-west-1", true),
            ),
            ("s3://b", &here[..], expect("", "here-1", true)),
            ("s3://b", &own[..], expect("http://own:1", "r-1", false)),
        ] {
            assert_eq!(server(place, options), expected, "{place} {options:?}");
        }
    }

    #[test]
    fn a_server_is_not_asked_without_credentials() {
        let configured = |place: &str, options: &[(&str, &str)]| {
            let Location::S3(bucket) = parse(place).unwrap() else { panic!("{place} is in S3") };
            let options: BTreeMap<_, _> =
                options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
            configure(&bucket, &Settings::parse(&options).unwrap()).map(|_| ())
        };
        assert_eq!(configured("s3:h/b", &[]), Err(ErrorKind::NoCredentials));
        assert_eq!(configured("s3:h/b", &[("s3.anonymous", "true")]), Ok(()));
        assert_eq!(configured("s3:h/b", &[("AWS_ACCESS_KEY_ID", "k")]), Ok(()));
        assert_eq!(configured("s3://b", &[]), Ok(()), "the machine may stand in Amazon's cloud");
    }
}
