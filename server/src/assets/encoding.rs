//! Which encoding a client likes best (RFC 9110, section 12.5.3).

/// Encodings that files are kept in, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Brotli,
    Gzip,
    Identity,
}

const ALL: [(Encoding, &str); 3] = [
    (Encoding::Brotli, "br"),
    (Encoding::Gzip, "gzip"),
    (Encoding::Identity, "identity"),
];

/// The encoding to send: of those there are, the one with the highest weight, the smallest of equals.
/// Where none is acceptable the plain file goes out, as the RFC allows.
pub(super) fn choose(accepted: &str, is_there: impl Fn(Encoding) -> bool) -> Encoding {
    let weights: Vec<(&str, f32)> = accepted.split(',').filter_map(weight).collect();
    let of = |name: &str| {
        weights
            .iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, weight)| *weight)
    };
    let mut best = (Encoding::Identity, 0.0);
    for (encoding, name) in ALL {
        let weight = match (of(name).or_else(|| of("*")), encoding) {
            // Not named, the plain file is acceptable, but only after what is named.
            (None, Encoding::Identity) => f32::MIN_POSITIVE,
            (weight, _) => weight.unwrap_or(0.0),
        };
        if is_there(encoding) && weight > best.1 {
            best = (encoding, weight);
        }
    }
    best.0
}

/// A name and its weight, 1 where none is given. What cannot be read is left out.
fn weight(item: &str) -> Option<(&str, f32)> {
    let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
    let parameters = parameters.trim();
    if parameters.is_empty() {
        return Some((name.trim(), 1.0));
    }
    let (key, value) = parameters.split_once('=')?;
    let value: f32 = value.trim().parse().ok()?;
    let valid = key.trim().eq_ignore_ascii_case("q") && (0.0..=1.0).contains(&value);
    valid.then_some((name.trim(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_decide_and_the_smallest_of_equals_wins() {
        for (accepted, encoding) in [
            ("gzip, deflate, br, zstd", Encoding::Brotli),
            ("gzip, deflate", Encoding::Gzip),
            ("br;q=0.5, gzip;q=0.8", Encoding::Gzip),
            ("br;q=0, gzip;q=0", Encoding::Identity),
            ("BR", Encoding::Brotli),
            ("*", Encoding::Brotli),
            ("*;q=0.1, br;q=0", Encoding::Gzip),
            ("identity, br;q=0.9", Encoding::Identity),
            ("br;q=0.001", Encoding::Brotli),
            ("gzip;q=x, deflate", Encoding::Identity),
            ("identity;q=0", Encoding::Identity),
            ("", Encoding::Identity),
        ] {
            assert_eq!(choose(accepted, |_| true), encoding, "{accepted:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_chosen() {
        let only_gzip = |encoding| encoding != Encoding::Brotli;
        assert_eq!(choose("br, gzip;q=0.1", only_gzip), Encoding::Gzip);
        assert_eq!(choose("br", only_gzip), Encoding::Identity);
    }
}
