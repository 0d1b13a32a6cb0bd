//! Credentials of a profile in the files that AWS's tools share: `~/.aws/credentials` and `~/.aws/config`.

use async_trait::async_trait;
use object_store::{CredentialProvider, aws::AwsCredential};
use parking_lot::Mutex;
use runtime::SharedClock;
use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// How often it is looked whether the files changed: tools write new keys into them while lakebox runs.
const LOOK: Duration = Duration::from_secs(5);

/// Keys of a profile that say where to get credentials, which takes more than reading them.
const INDIRECT: [&str; 6] =
    ["role_arn", "source_profile", "credential_source", "credential_process", "sso_session", "sso_start_url"];

/// Where the files are, and whose profile is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProfileFiles {
    pub(super) credentials: PathBuf,
    pub(super) config: PathBuf,
    pub(super) profile: String,
}

/// What a profile says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Profile {
    /// Access key, secret key and session token.
    pub(super) keys: Option<Keys>,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
    /// File of a web identity's token, and the role that it is for.
    pub(super) web_identity: Option<(String, String)>,
    /// The first way of getting credentials that lakebox can't go.
    pub(super) indirect: Option<&'static str>,
}

/// An access key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    id: String,
    secret: String,
    token: Option<String>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("id", &self.id).finish_non_exhaustive()
    }
}

impl ProfileFiles {
    /// Where the environment says they are, with names in lower case; `None` where it names neither them nor a home.
    pub(super) fn of(environment: &BTreeMap<String, String>, profile: Option<&str>) -> Option<Self> {
        let set = |name: &str| environment.get(name).filter(|v| !v.is_empty());
        let home = set("home").or_else(|| set("userprofile")).map(PathBuf::from);
        let file =
            |name: &str, inside: &str| set(name).map(PathBuf::from).or_else(|| Some(home.as_ref()?.join(".aws").join(inside)));
        let profile = profile.or_else(|| set("aws_profile").map(String::as_str)).unwrap_or("default");
        Some(Self {
            credentials: file("aws_shared_credentials_file", "credentials")?,
            config: file("aws_config_file", "config")?,
            profile: profile.to_owned(),
        })
    }

    /// The profile; `None` where neither file has it.
    pub(super) fn read(&self) -> Option<Profile> {
        let credentials = fs::read_to_string(&self.credentials).unwrap_or_default();
        let config = fs::read_to_string(&self.config).unwrap_or_default();
        profile(&credentials, &config, &self.profile)
    }

    fn modified(&self) -> [Option<SystemTime>; 2] {
        [&self.credentials, &self.config].map(|file| fs::metadata(file).and_then(|m| m.modified()).ok())
    }
}

/// What the texts of the two files say of a profile. What both say, the credentials file says.
fn profile(credentials: &str, config: &str, name: &str) -> Option<Profile> {
    let mut values = BTreeMap::new();
    let mut found = false;
    let named = |section: &str| section == name;
    let in_config =
        |section: &str| section.strip_prefix("profile").map_or(section == name && name == "default", |n| n.trim() == name);
    found |= gather(config, in_config, &mut values);
    found |= gather(credentials, named, &mut values);
    if !found {
        return None;
    }
    let get = |key: &str| values.get(key).filter(|v| !v.is_empty()).cloned();
    let keys = match (get("aws_access_key_id"), get("aws_secret_access_key")) {
        (Some(id), Some(secret)) => Some(Keys { id, secret, token: get("aws_session_token") }),
        _ => None,
    };
    let web_identity = get("web_identity_token_file").zip(get("role_arn"));
    let indirect = INDIRECT.into_iter().find(|key| keys.is_none() && web_identity.is_none() && get(key).is_some());
    Some(Profile { keys, region: get("region"), endpoint: get("endpoint_url"), web_identity, indirect })
}

/// Puts the values of the sections that are `wanted` in; false where there is none.
fn gather(text: &str, wanted: impl Fn(&str) -> bool, values: &mut BTreeMap<String, String>) -> bool {
    let (mut inside, mut found) = (false, false);
    for line in text.lines() {
        // Lines that are set in belong to a group of settings of one service.
        if line.starts_with([' ', '\t', '#', ';']) || line.trim().is_empty() {
            continue;
        }
        if let Some(section) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
            inside = wanted(section.trim());
            found |= inside;
        } else if let (true, Some((key, value))) = (inside, line.split_once('=')) {
            let value = value.split(" #").next().unwrap_or(value).trim();
            values.insert(key.trim().to_ascii_lowercase(), value.to_owned());
        }
    }
    found
}

/// The keys of a profile, read anew when its files change.
#[derive(Debug)]
pub(super) struct ProfileCredentials {
    files: ProfileFiles,
    clock: SharedClock,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    looked: Duration,
    modified: [Option<SystemTime>; 2],
    credential: Arc<AwsCredential>,
}

fn credential(keys: Keys) -> Arc<AwsCredential> {
    Arc::new(AwsCredential { key_id: keys.id, secret_key: keys.secret, token: keys.token })
}

impl ProfileCredentials {
    pub(super) fn new(files: ProfileFiles, keys: Keys, clock: SharedClock) -> Self {
        let last = Last { looked: clock.monotonic(), modified: files.modified(), credential: credential(keys) };
        Self { files, clock, last: Mutex::new(last) }
    }
}

#[async_trait]
impl CredentialProvider for ProfileCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut last = self.last.lock();
        let now = self.clock.monotonic();
        if now.saturating_sub(last.looked) >= LOOK {
            last.looked = now;
            let modified = self.files.modified();
            // While a tool writes the file anew, the former keys still hold.
            if let Some(keys) = (modified != last.modified).then(|| self.files.read()?.keys).flatten() {
                last.modified = modified;
                last.credential = credential(keys);
            }
        }
        Ok(Arc::clone(&last.credential))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::Clock;
    use std::sync::atomic::{AtomicU64, Ordering};

    const CREDENTIALS: &str = "# of tools\n[default]\naws_access_key_id = AKDEFAULT\naws_secret_access_key=abc/=+ \n\n[lake]\n\
         AWS_ACCESS_KEY_ID=AKLAKE\naws_secret_access_key = s3cret # not for all\naws_session_token=tok==\n";
    const CONFIG: &str = "[default]\nregion = eu-central-1\ns3 =\n  max_concurrent_requests = 20\n  region = nowhere\n[profile lake]\nregion=us-west-2\n\
         endpoint_url = http://127.0.0.1:9000\naws_access_key_id = AKCONFIG\n[profile sso]\nsso_session = corp\n[profile role]\nrole_arn = arn:x\n\
         source_profile = default\n[profile web]\nrole_arn = arn:y\nweb_identity_token_file = /token\n[lakes]\nregion = none\n";

    #[test]
    fn a_profile_is_what_both_files_say_of_it() {
        let read = |name| profile(CREDENTIALS, CONFIG, name);
        let keys = |id: &str, secret: &str, token: Option<&str>| {
            Some(Keys { id: id.into(), secret: secret.into(), token: token.map(Into::into) })
        };
        let default = read("default").unwrap();
        assert_eq!((default.keys, default.region), (keys("AKDEFAULT", "abc/=+", None), Some("eu-central-1".into())));
        let lake = read("lake").unwrap();
        assert_eq!(lake.keys, keys("AKLAKE", "s3cret", Some("tok==")));
        assert_eq!((lake.region.as_deref(), lake.endpoint.as_deref()), (Some("us-west-2"), Some("http://127.0.0.1:9000")));
        assert_eq!(read("sso").unwrap().indirect, Some("sso_session"));
        assert_eq!(read("role").unwrap().indirect, Some("role_arn"));
        assert_eq!(read("web").unwrap(), Profile { web_identity: Some(("/token".into(), "arn:y".into())), ..Profile::default() });
        assert_eq!((read("lakes"), read("none")), (None, None));
    }

    #[test]
    fn a_key_is_not_in_what_is_printed() {
        assert!(!format!("{:?}", profile(CREDENTIALS, CONFIG, "lake")).contains("s3cret"));
    }

    #[derive(Debug, Default)]
    struct Hands(AtomicU64);

    impl Clock for Hands {
        fn now_us(&self) -> i64 {
            0
        }
        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
        fn sleep(&self, _: Duration) -> futures::future::BoxFuture<'static, ()> {
            Box::pin(std::future::ready(()))
        }
    }

    #[tokio::test]
    async fn new_keys_in_the_file_are_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let environment = BTreeMap::from([("home".to_owned(), dir.path().display().to_string())]);
        let files = ProfileFiles::of(&environment, None).unwrap();
        fs::create_dir(dir.path().join(".aws")).unwrap();
        fs::write(&files.credentials, "[default]\naws_access_key_id=OLD\naws_secret_access_key=x\n").unwrap();
        let clock = Arc::new(Hands::default());
        let shared: SharedClock = Arc::clone(&clock) as SharedClock;
        let keys = files.read().unwrap().keys.unwrap();
        let provider = ProfileCredentials::new(files.clone(), keys, shared);
        fs::write(&files.credentials, "[default]\naws_access_key_id=NEW\naws_secret_access_key=y\n").unwrap();
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        fs::File::open(&files.credentials).unwrap().set_modified(changed).unwrap();
        assert_eq!(provider.get_credential().await.unwrap().key_id, "OLD", "it was looked at just now");
        clock.0.store(6, Ordering::Relaxed);
        assert_eq!(provider.get_credential().await.unwrap().key_id, "NEW");
    }
}
