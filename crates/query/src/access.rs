//! Who may ask: users with passwords, for the PostgreSQL wire and for Flight SQL.

use datafusion_postgres::pgwire::api::auth::sasl::scram::{SCRAM_ITERATIONS, gen_salted_password};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// What is kept of a password: enough to check it, not enough to tell it (RFC 5802, SaltedPassword).
#[derive(Clone)]
pub(crate) struct Verifier {
    pub(crate) salt: Vec<u8>,
    pub(crate) salted: Vec<u8>,
}

/// Users by name. Without any, whoever can connect is let in. Cheap to clone.
#[derive(Clone, Default)]
pub struct Users {
    verifiers: Arc<BTreeMap<String, Verifier>>,
    /// Makes the salts of names that are no users' the same at each try, so that nobody learns which names are.
    secret: Arc<[u8; 16]>,
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.verifiers.keys()).finish()
    }
}

impl Users {
    /// Users with their passwords, which are not kept. It computes for some milliseconds for each.
    pub fn new<'a>(passwords: impl IntoIterator<Item = (String, &'a str)>) -> Self {
        let verifier = |(name, password): (String, &str)| {
            let salt = uuid::Uuid::new_v4().into_bytes().to_vec();
            let salted = gen_salted_password(password, &salt, SCRAM_ITERATIONS);
            (name, Verifier { salt, salted })
        };
        Self {
            verifiers: Arc::new(passwords.into_iter().map(verifier).collect()),
            secret: Arc::new(uuid::Uuid::new_v4().into_bytes()),
        }
    }

    /// Whether whoever can connect is let in.
    pub fn is_open(&self) -> bool {
        self.verifiers.is_empty()
    }

    /// What to check a password against. A name that is no user's gets one that no password meets.
    pub(crate) fn verifier(&self, name: &str) -> Verifier {
        if let Some(known) = self.verifiers.get(name) {
            return known.clone();
        }
        let salt = gen_salted_password(name, self.secret.as_ref(), 1).into_iter().take(16).collect();
        Verifier { salt, salted: uuid::Uuid::new_v4().into_bytes().repeat(2) }
    }

    /// Whether `password` is that of `name`. It computes for some milliseconds.
    pub(crate) fn accepts(&self, name: &str, password: &str) -> bool {
        let Verifier { salt, salted } = self.verifier(name);
        let given = gen_salted_password(password, &salt, SCRAM_ITERATIONS);
        // Every byte is looked at, so that the time says nothing of how many are right.
        given.len() == salted.len() && given.iter().zip(&salted).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_opens_its_own_users_door_alone() {
        let users = Users::new([("ann".to_owned(), "secret"), ("bob".to_owned(), "other")]);
        assert!(users.accepts("ann", "secret") && users.accepts("bob", "other"));
        for (name, password) in [("ann", "other"), ("ann", ""), ("carl", "secret"), ("", "")] {
            assert!(!users.accepts(name, password), "{name} {password}");
        }
        assert_eq!(users.verifier("carl").salt, users.verifier("carl").salt);
        assert!(!format!("{users:?}").contains("secret") && !users.is_open() && Users::default().is_open());
    }
}
