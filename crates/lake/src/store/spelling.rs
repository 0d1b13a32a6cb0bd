//! The many ways in which engines spell one place.

/// What follows the warehouse's root in a location that spells the root in another way; `None` where it is elsewhere.
pub(super) fn inside<'a>(root: &str, location: &'a str) -> Option<&'a str> {
    let ((root_scheme, root_path), (scheme, path)) = (split(root), split(location));
    if family(root_scheme) != family(scheme) {
        return None;
    }
    path.strip_prefix(root_path)?.strip_prefix('/')
}

/// Scheme, and what follows it without the slashes in front. A plain path is a file.
fn split(location: &str) -> (&str, &str) {
    let (scheme, path) = match location.split_once(':') {
        Some((scheme, path)) if !scheme.contains('/') => (scheme, path),
        _ => ("file", location),
    };
    (scheme, path.trim_start_matches('/'))
}

/// Hadoop has its own names for S3 and for Azure's stores.
fn family(scheme: &str) -> &str {
    match scheme {
        "s3a" | "s3n" => "s3",
        "abfss" | "wasb" | "wasbs" => "abfs",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_is_known_under_every_spelling() {
        for (root, location, found) in [
            ("file:///srv/lake", "file:/srv/lake/own/t/x", Some("own/t/x")),
            ("file:///srv/lake", "/srv/lake/own/t/x", Some("own/t/x")),
            ("file:///srv/lake", "file:///srv/lake/own/t/day=2026-01-01%2000/x", Some("own/t/day=2026-01-01%2000/x")),
            ("file:///srv/lake", "file:///srv/lakes/own/t/x", None),
            ("file:///srv/lake", "s3://srv/lake/own/t/x", None),
            ("s3://bucket/lake", "s3a://bucket/lake/x", Some("x")),
            ("s3a://bucket/lake", "s3://bucket/lake/x", Some("x")),
            ("s3://bucket/lake", "s3://other/lake/x", None),
            ("s3://bucket/lake", "/bucket/lake/x", None),
        ] {
            assert_eq!(inside(root, location), found, "{location}");
        }
    }
}
