use parking_lot::Mutex;
use std::collections::HashMap;

/// The first number that PostgreSQL gives to what users make.
const FIRST: i32 = 16_384;

/// What a number stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Object {
    /// A schema.
    Schema(String),
    /// A table or view.
    Relation(String, String),
    /// The index that a table's key has in clients' eyes.
    Index(String, String),
    /// The primary key of a table.
    Constraint(String, String),
}

/// Numbers of objects. Clients ask for a number in one statement and use it in the next, so a number stays with its name while the process lives.
#[derive(Debug)]
pub(crate) struct Oids(Mutex<Known>);

#[derive(Debug)]
struct Known {
    numbers: HashMap<Object, i32>,
    objects: HashMap<i32, Object>,
    next: i32,
}

impl Default for Oids {
    fn default() -> Self {
        let known = Known { numbers: HashMap::new(), objects: HashMap::new(), next: FIRST };
        Self(Mutex::new(known))
    }
}

impl Oids {
    /// The number of an object.
    pub(crate) fn of(&self, object: Object) -> i32 {
        if let Some(fixed) = fixed(&object) {
            return fixed;
        }
        let mut known = self.0.lock();
        if let Some(number) = known.numbers.get(&object) {
            return *number;
        }
        let number = known.next;
        known.next += 1;
        known.numbers.insert(object.clone(), number);
        known.objects.insert(number, object);
        number
    }

    /// What a number was given to.
    pub(crate) fn object(&self, number: i32) -> Option<Object> {
        let schemas = ["pg_catalog", "public", "information_schema"].map(|s| Object::Schema(s.to_owned()));
        if let Some(schema) = schemas.into_iter().find(|s| fixed(s) == Some(number)) {
            return Some(schema);
        }
        self.0.lock().objects.get(&number).cloned()
    }
}

/// Numbers that PostgreSQL fixes, and that rows of its own tables refer to.
fn fixed(object: &Object) -> Option<i32> {
    match object {
        Object::Schema(name) => match name.as_str() {
            "pg_catalog" => Some(11),
            "public" => Some(2200),
            "information_schema" => Some(13_000),
            _ => None,
        },
        Object::Relation(schema, name) if schema == "pg_catalog" => match name.as_str() {
            "pg_type" => Some(1247),
            "pg_attribute" => Some(1249),
            "pg_proc" => Some(1255),
            "pg_class" => Some(1259),
            "pg_authid" => Some(1260),
            "pg_database" => Some(1262),
            "pg_constraint" => Some(2606),
            "pg_namespace" => Some(2615),
            "pg_index" => Some(2610),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stays_with_its_name() {
        let oids = Oids::default();
        let table = Object::Relation("silver".into(), "t".into());
        let first = oids.of(table.clone());
        assert_ne!(first, oids.of(Object::Schema("silver".into())));
        assert_eq!((oids.of(table.clone()), oids.object(first)), (first, Some(table)));
        assert_eq!(oids.of(Object::Schema("pg_catalog".into())), 11);
        assert_eq!(oids.object(11), Some(Object::Schema("pg_catalog".into())));
    }
}
