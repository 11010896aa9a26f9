//! What can be chosen about an S3 store, read from `-o` options and `AWS_` variables.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crate::store::{Error, ErrorKind, retry::Patience};

/// The options there are, and what each is for.
pub const OPTIONS: &[(&str, &str)] = &[
    ("s3.region", "the bucket's region (default: AWS_REGION, then us-east-1)"),
    ("s3.path-style", "true: host/bucket/key, false: bucket.host/key (default: false on AWS only)"),
    ("s3.allow-http", "true: no TLS where the repository's name has no scheme (default: false)"),
    ("s3.anonymous", "true: requests are not signed (default: false)"),
    ("s3.connections", "requests at a time, 1 to 256 (default: 16)"),
    ("s3.retries", "attempts after the first, 0 to 100 (default: 10)"),
    ("s3.retry-max-seconds", "longest pause between attempts (default: 30)"),
    ("s3.stall-seconds", "a transfer that does not move for so long has failed (default: 60)"),
    ("s3.conditional-put", "false: the server refuses If-None-Match; look first (default: true)"),
    ("s3.ca-file", "a PEM file of certificates to trust beside the system's"),
    ("s3.proxy", "URL of a proxy for all requests"),
];

/// The variables of the environment that matter to an S3 store.
pub const ENVIRONMENT: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

/// The choices, checked; what was not said is the default.
pub struct Settings {
    pub region: Option<String>,
    pub path_style: Option<bool>,
    pub allow_http: bool,
    pub anonymous: bool,
    pub connections: usize,
    pub patience: Patience,
    pub stall: Duration,
    pub conditional_put: bool,
    pub ca_file: Option<PathBuf>,
    pub proxy: Option<String>,
    /// Those of `ENVIRONMENT` that are set and not empty.
    pub environment: BTreeMap<&'static str, String>,
}

impl Settings {
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, Error> {
        let mut settings = Settings {
            region: None,
            path_style: None,
            allow_http: false,
            anonymous: false,
            connections: 16,
            patience: Patience::default(),
            stall: Duration::from_secs(60),
            conditional_put: true,
            ca_file: None,
            proxy: None,
            environment: BTreeMap::new(),
        };
        for (key, value) in options {
            settings.set(key, value).map_err(|kind| Error::new(kind, "set", key))?;
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), ErrorKind> {
        let seconds = |range| number(value, range).map(|n| Duration::from_secs(n as u64));
        match key {
            "s3.region" => self.region = Some(value.to_owned()),
            "s3.path-style" => self.path_style = Some(truth(value)?),
            "s3.allow-http" => self.allow_http = truth(value)?,
            "s3.anonymous" => self.anonymous = truth(value)?,
            "s3.connections" => self.connections = number(value, 1..=256)?,
            "s3.retries" => self.patience.retries = number(value, 0..=100)?,
            "s3.retry-max-seconds" => {
                self.patience.longest = seconds(1..=3600)?;
                self.patience.first = self.patience.first.min(self.patience.longest);
            }
            "s3.stall-seconds" => self.stall = seconds(1..=3600)?,
            "s3.conditional-put" => self.conditional_put = truth(value)?,
            "s3.ca-file" => self.ca_file = Some(value.into()),
            "s3.proxy" => self.proxy = Some(value.to_owned()),
            _ if key.starts_with("AWS_") => {
                let known = ENVIRONMENT.iter().find(|known| **known == key);
                if let Some(known) = known.filter(|_| !value.is_empty()) {
                    self.environment.insert(known, value.to_owned());
                }
            }
            _ => return Err(ErrorKind::UnknownOption),
        }
        Ok(())
    }
}

fn truth(value: &str) -> Result<bool, ErrorKind> {
    value.parse().map_err(|_| ErrorKind::BadOption { why: "true or false is expected" })
}

fn number(value: &str, range: std::ops::RangeInclusive<usize>) -> Result<usize, ErrorKind> {
    let good = value.parse().ok().filter(|n| range.contains(n));
    good.ok_or(ErrorKind::BadOption { why: "a number in its range is expected" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<Settings, Error> {
        let owned = options.iter().map(|(key, value)| (key.to_string(), value.to_string()));
        Settings::parse(&owned.collect())
    }

    #[test]
    fn every_option_is_known_and_checked() {
        for (key, _) in OPTIONS {
            let answers = ["true", "7", "x"].map(|value| parse(&[(key, value)]).is_ok());
            assert!(answers.contains(&true), "{key} takes something");
        }
        for (key, value) in [
            ("s3.path-style", "yes"),
            ("s3.connections", "0"),
            ("s3.connections", "many"),
            ("s3.stall-seconds", "-1"),
            ("s3.retries", "101"),
        ] {
            let error = parse(&[(key, value)]).err().unwrap();
            assert!(matches!(error.kind, ErrorKind::BadOption { .. }), "{key}={value}: {error}");
        }
        for unknown in ["s3.x", "region", "aws_region", ""] {
            assert_eq!(parse(&[(unknown, "1")]).err().unwrap().kind, ErrorKind::UnknownOption);
        }
    }

    #[test]
    fn the_environment_is_taken_as_it_is() {
        let settings = parse(&[
            ("AWS_REGION", "mars-1"),
            ("AWS_SESSION_TOKEN", ""),
            ("AWS_PAGER", "less"),
            ("s3.region", "moon-1"),
        ]);
        let settings = settings.unwrap();
        assert_eq!(settings.environment, BTreeMap::from([("AWS_REGION", "mars-1".to_owned())]));
        assert_eq!(settings.region.as_deref(), Some("moon-1"));
    }
}
