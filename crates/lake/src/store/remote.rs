//! Object stores by their URL: credentials, timeouts and repeated tries.

use super::profile::{ProfileCredentials, ProfileFiles};
use crate::{Error, error::Kind};
use object_store::{
    BackoffConfig, ClientConfigKey, ObjectStore, ObjectStoreScheme, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    prefix::PrefixStore,
};
use std::{collections::BTreeMap, path::PathBuf, str::FromStr, sync::Arc, time::Duration};
use url::Url;

/// What an object store needs beside its own options.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteSettings {
    /// Variables of the environment that say something about credentials and places, with names in lower case. Options come before them.
    pub environment: BTreeMap<String, String>,
    /// The longest a request may take, its answer included.
    pub request_timeout: Duration,
    /// The longest that connecting may take.
    pub connect_timeout: Duration,
    /// How long a request is tried again and again, with growing pauses.
    pub retry_for: Duration,
    /// The cache on local disk.
    pub cache: Option<CacheSettings>,
}

/// A cache on local disk for pieces of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    /// Its folder, no other process's.
    pub dir: PathBuf,
    /// Bytes that it may use.
    pub bytes_max: u64,
}

impl std::fmt::Debug for RemoteSettings {
    /// Without the environment's values, some of which are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteSettings")
            .field("request_timeout", &self.request_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("retry_for", &self.retry_for)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

impl Default for RemoteSettings {
    fn default() -> Self {
        Self {
            environment: BTreeMap::new(),
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            retry_for: Duration::from_secs(120),
            cache: None,
        }
    }
}

impl RemoteSettings {
    /// Ten tries at most; pauses are drawn between the first pause and twice the one before.
    fn retry(&self) -> RetryConfig {
        let backoff = BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(10), base: 2.0 };
        RetryConfig { backoff, max_retries: 10, retry_timeout: self.retry_for }
    }
}

/// An object store that is open.
#[derive(Debug)]
pub(super) struct Opened {
    /// Rooted at the URL's path.
    pub(super) objects: Arc<dyn ObjectStore>,
    /// Where credentials were looked for, in words.
    pub(super) looked: String,
}

const HINT: &str =
    "Write ./directory, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix, and check the options beside it.";

/// Opens the store at `url`. Nothing is asked of it yet.
///
/// # Errors
/// [`Kind::Misconfigured`].
pub(super) fn open(url: &str, options: &BTreeMap<String, String>, settings: &RemoteSettings) -> Result<Opened, Error> {
    let wrong = |e: &dyn std::fmt::Display| {
        Error::new(Kind::Misconfigured, format!("the warehouse `{url}` can't be opened: {e}")).with_hint(HINT)
    };
    let parsed = Url::parse(url).map_err(|e| wrong(&e))?;
    let (scheme, path) = ObjectStoreScheme::parse(&parsed).map_err(|e| wrong(&e))?;
    let (objects, looked): (Arc<dyn ObjectStore>, String) = match scheme {
        ObjectStoreScheme::AmazonS3 => {
            let (builder, looked) = s3(url, options, settings)?;
            (Arc::new(builder.build().map_err(|e| wrong(&e))?), looked)
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            let mut builder = GoogleCloudStorageBuilder::new().with_url(url).with_retry(settings.retry());
            for (key, value) in chosen::<GoogleConfigKey>(options, settings, GoogleConfigKey::Client, &[]) {
                builder = builder.with_config(key, value);
            }
            let looked = "google_service_account and google_service_account_key in lake.options and in the environment, \
                 GOOGLE_APPLICATION_CREDENTIALS, the application default credentials of gcloud, and the metadata server";
            (Arc::new(builder.build().map_err(|e| wrong(&e))?), looked.to_owned())
        }
        ObjectStoreScheme::MicrosoftAzure => {
            let mut builder = MicrosoftAzureBuilder::new().with_url(url).with_retry(settings.retry());
            let secrets = [
                AzureConfigKey::AccessKey,
                AzureConfigKey::SasKey,
                AzureConfigKey::Token,
                AzureConfigKey::ClientSecret,
                AzureConfigKey::FederatedTokenFile,
            ];
            for (key, value) in chosen::<AzureConfigKey>(options, settings, AzureConfigKey::Client, &secrets) {
                builder = builder.with_config(key, value);
            }
            let looked = "an account key, a SAS key, a bearer token, a client secret, a federated token file (workload identity) and \
                 azure_use_azure_cli in lake.options and in the environment, and the managed identity of this machine";
            (Arc::new(builder.build().map_err(|e| wrong(&e))?), looked.to_owned())
        }
        _ => return Err(wrong(&"lakebox has no store for this kind of URL")),
    };
    Ok(Opened { objects: Arc::new(PrefixStore::new(objects, path)), looked })
}

/// The options, the environment's where they say nothing, and our timeouts where neither does. Where the options have one of the `secrets`, those
/// of the environment are left out: halves of two credentials make none.
fn chosen<K: FromStr + PartialEq>(
    options: &BTreeMap<String, String>,
    settings: &RemoteSettings,
    client: fn(ClientConfigKey) -> K,
    secrets: &[K],
) -> Vec<(K, String)> {
    let parsed = |values: &BTreeMap<String, String>| -> Vec<(K, String)> {
        values.iter().filter_map(|(k, v)| Some((k.to_ascii_lowercase().parse().ok()?, v.clone()))).collect()
    };
    let own = parsed(options);
    let has_secret = own.iter().any(|(k, _)| secrets.contains(k));
    let millis = |time: Duration| format!("{}ms", time.as_millis());
    let mut all = vec![
        (client(ClientConfigKey::Timeout), millis(settings.request_timeout)),
        (client(ClientConfigKey::ConnectTimeout), millis(settings.connect_timeout)),
    ];
    // Of one key the last counts.
    all.extend(parsed(&settings.environment).into_iter().filter(|(k, _)| !(has_secret && secrets.contains(k))));
    all.extend(own);
    all
}

/// S3 with the chain of credentials that its users know: options, environment, web identity, profile, container, machine.
fn s3(url: &str, options: &BTreeMap<String, String>, settings: &RemoteSettings) -> Result<(AmazonS3Builder, String), Error> {
    use AmazonS3ConfigKey as Key;
    let keys = [Key::AccessKeyId, Key::SecretAccessKey, Key::Token];
    let chosen = chosen::<Key>(options, settings, Key::Client, &keys);
    let has = |key: Key| chosen.iter().any(|(k, v)| *k == key && !v.is_empty());
    let skips = chosen.iter().rev().find(|(k, _)| *k == Key::SkipSignature).is_some_and(|(_, v)| v == "true");
    let direct = skips || has(Key::AccessKeyId) || has(Key::SecretAccessKey);
    let web_identity = has(Key::WebIdentityTokenFile) && has(Key::RoleArn);
    let (has_region, has_endpoint) = (has(Key::Region) || has(Key::DefaultRegion), has(Key::Endpoint) || has(Key::S3Endpoint));
    let mut builder = AmazonS3Builder::new().with_url(url).with_retry(settings.retry());
    for (key, value) in chosen {
        builder = builder.with_config(key, value);
    }
    let named = options.get("aws_profile").or_else(|| settings.environment.get("aws_profile")).map(String::as_str);
    let mut looked = "lake.options, AWS_ACCESS_KEY_ID and AWS_WEB_IDENTITY_TOKEN_FILE in the environment".to_owned();
    // A profile that is named comes before what a machine happens to have.
    let wants_profile = !direct && (named.is_some() || !web_identity);
    if let Some(files) = wants_profile.then(|| ProfileFiles::of(&settings.environment, named)).flatten() {
        let place = format!("the profile `{}` in {} and {}", files.profile, files.credentials.display(), files.config.display());
        let profile = files.read();
        match &profile {
            None if named.is_some() => {
                return Err(Error::new(
                    Kind::Misconfigured,
                    format!(
                        "the warehouse `{url}` can't be opened: there is no profile `{}` in {} or {}",
                        files.profile,
                        files.credentials.display(),
                        files.config.display()
                    ),
                )
                .with_hint("Correct AWS_PROFILE or `aws_profile` in `lake.options`, or leave them out."));
            }
            Some(found) if found.indirect.is_some() && named.is_some() => {
                let message = format!(
                    "the warehouse `{url}` can't be opened: {place} has `{}`, which lakebox can't follow",
                    found.indirect.unwrap_or_default()
                );
                return Err(Error::new(Kind::Misconfigured, message).with_hint(
                    "Put keys into the environment, as `aws configure export-credentials --format env` prints them, or name a profile that has keys.",
                ));
            }
            _ => {}
        }
        let profile = profile.unwrap_or_default();
        looked = format!("{looked}, {place}");
        if let Some(way) = profile.indirect {
            looked = format!("{looked} (it has `{way}`, which lakebox can't follow)");
        }
        if let Some(region) = profile.region.filter(|_| !has_region) {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = profile.endpoint.filter(|_| !has_endpoint) {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(keys) = profile.keys {
            let provider = ProfileCredentials::new(files, keys, runtime::SystemClock::shared());
            builder = builder.with_credentials(Arc::new(provider));
        } else if let Some((file, role)) = profile.web_identity {
            builder = builder.with_config(Key::WebIdentityTokenFile, file).with_config(Key::RoleArn, role);
        }
    }
    Ok((builder, format!("{looked}, a container's credentials, and the metadata service of an EC2 machine")))
}

/// Whether a request failed because the last place where credentials may be, the machine's own service, is not there or has none.
pub(super) fn is_without_credentials(error: &object_store::Error) -> bool {
    const SERVICES: [&str; 4] =
        ["169.254.169.254", "169.254.170.2", "metadata.google.internal", "metadata/identity/oauth2/token"];
    let text = error.to_string();
    SERVICES.iter().any(|service| text.contains(service))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(values: &[(&str, &str)]) -> BTreeMap<String, String> {
        values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn settings(environment: &[(&str, &str)]) -> RemoteSettings {
        RemoteSettings { environment: map(environment), ..RemoteSettings::default() }
    }

    fn config(options: &[(&str, &str)], environment: &[(&str, &str)], key: AmazonS3ConfigKey) -> Option<String> {
        s3("s3://bucket/wh", &map(options), &settings(environment)).unwrap().0.get_config_value(&key)
    }

    #[test]
    fn options_come_before_the_environment_and_its_credentials_are_not_mixed_in() {
        use AmazonS3ConfigKey as Key;
        let environment = [
            ("aws_access_key_id", "AKENV"),
            ("aws_secret_access_key", "s"),
            ("aws_session_token", "t"),
            ("aws_region", "eu-west-1"),
        ];
        assert_eq!(config(&[], &environment, Key::AccessKeyId).as_deref(), Some("AKENV"));
        let own = [("aws_access_key_id", "AKOWN"), ("aws_secret_access_key", "o")];
        assert_eq!(config(&own, &environment, Key::AccessKeyId).as_deref(), Some("AKOWN"));
        assert_eq!(config(&own, &environment, Key::Token), None);
        assert_eq!(config(&own, &environment, Key::Region).as_deref(), Some("eu-west-1"));
        let timeout = |options: &[(&str, &str)]| config(options, &[], Key::Client(ClientConfigKey::Timeout));
        assert_eq!(timeout(&[]).as_deref(), Some("30000ms"));
        assert_eq!(timeout(&[("timeout", "7s")]).as_deref(), Some("7s"));
    }

    #[test]
    fn a_profile_stands_in_where_nothing_else_is_set_and_a_named_one_must_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().display().to_string();
        std::fs::create_dir(dir.path().join(".aws")).unwrap();
        std::fs::write(dir.path().join(".aws/credentials"), "[default]\naws_access_key_id=AK\naws_secret_access_key=hunter2\n")
            .unwrap();
        std::fs::write(dir.path().join(".aws/config"), "[default]\nregion=eu-north-1\n[profile corp]\nsso_session=corp\n")
            .unwrap();
        let open = |options: &[(&str, &str)], environment: &[(&str, &str)]| {
            let environment = [environment, &[("home", home.as_str())]].concat();
            s3("s3://bucket/wh", &map(options), &settings(&environment))
        };
        let region =
            |opened: Result<(AmazonS3Builder, String), Error>| opened.unwrap().0.get_config_value(&AmazonS3ConfigKey::Region);
        assert_eq!(region(open(&[], &[])).as_deref(), Some("eu-north-1"));
        assert_eq!(region(open(&[("aws_region", "us-east-2")], &[])).as_deref(), Some("us-east-2"));
        assert_eq!(
            region(open(&[("aws_access_key_id", "A"), ("aws_secret_access_key", "B")], &[])),
            None,
            "the profile is not looked at"
        );
        let (builder, looked) = open(&[], &[]).unwrap();
        assert!(looked.contains(".aws/credentials") && looked.contains("EC2"), "{looked}");
        assert!(!format!("{builder:?}{looked}").contains("hunter2"));
        for (profile, words) in [("none", "no profile `none`"), ("corp", "sso_session")] {
            let error = open(&[], &[("aws_profile", profile)]).unwrap_err();
            assert!(error.message.contains(words) && error.message.contains(".aws/"), "{error}");
            assert!(error.hint.is_some());
        }
        assert!(open(&[("aws_profile", "none")], &[]).is_err());
    }

    #[test]
    fn every_kind_of_url_opens_with_its_own_credentials() {
        let azure = map(&[("azure_storage_account_name", "acc"), ("azure_storage_account_key", "a2V5")]);
        assert!(open("az://container/wh", &azure, &settings(&[])).unwrap().looked.contains("managed identity"));
        let key = r#"{"type":"service_account","private_key":"x","private_key_id":"1","client_email":"a@b","gcs_base_url":"http://127.0.0.1:1","disable_oauth":true}"#;
        assert!(open("gs://bucket/wh", &map(&[("google_service_account_key", key)]), &settings(&[])).is_ok());
        let error = open("ftp://host/lake", &map(&[]), &settings(&[])).unwrap_err();
        assert_eq!(error.kind, Kind::Misconfigured);
    }
}
