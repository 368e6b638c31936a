//! Converts legacy identities and access rules, exactly or not at all.

use crate::access::{Access, AccessBytes};
use crate::did::Did;
use crate::limits::{PARTICIPANTS_MAX, TRUST_MAX};

/// Parses an identity in this implementation's spelling, or in the one that the earlier implementation
/// wrote: base58 of the bare key. The earlier one read 22 further spellings, and so took one member for
/// several.
pub(super) fn did(text: &str) -> Option<Did> {
    if let Ok(did) = text.parse() {
        return Some(did);
    }
    // 32 bytes have at most 44 digits; decoding time grows with the square of the length.
    let encoded = text.strip_prefix("did:icn:z").filter(|encoded| encoded.len() <= 44)?;
    let key: [u8; 32] = bs58::decode(encoded).into_vec().ok()?.try_into().ok()?;
    Did::from_key(key).ok()
}

/// The converted rule and its meaning in words; or the rule kept as text, which seals the topic, and why.
pub(super) fn access(text: &str) -> (AccessBytes, Result<String, &'static str>) {
    match convert(text) {
        Ok((access, words)) => (access.encode(), Ok(words)),
        Err(why) => (AccessBytes::legacy(text), Err(why)),
    }
}

fn convert(text: &str) -> Result<(Access, String), &'static str> {
    let trust = |trust: u16| {
        (Access::min_trust(trust), format!("identities trusted at least {trust} of {TRUST_MAX}"))
    };
    if text == "Public" {
        return Ok((Access::public(), "all identities".into()));
    }
    if let Some(class) = argument(text, "TrustClass") {
        return match class {
            "Known" => Ok(trust(100)),
            "Partner" => Ok(trust(400)),
            "Federated" => Ok(trust(700)),
            "Isolated" => Err("admits nearly all identities and does not say so"),
            _ => Err("is no class of trust"),
        };
    }
    if let Some(score) = argument(text, "MinTrustScore") {
        return match thousandths(score) {
            Some(0) => Err("admits all identities and does not say so"),
            Some(score) => Ok(trust(score)),
            None => Err("is not a whole number of thousandths"),
        };
    }
    if let Some(list) = argument(text, "Participants") {
        let list = list.strip_prefix('[').and_then(|list| list.strip_suffix(']'));
        let list = list.ok_or("does not name its members")?;
        let members = list.split(',').map(str::trim).filter(|_| !list.is_empty());
        if members.clone().count() > PARTICIPANTS_MAX {
            return Err("has more members than a rule can name");
        }
        let members: Option<Vec<Did>> = members.map(did).collect();
        let members = members.ok_or("has a member that cannot be read")?;
        let words = format!("{} members", members.len());
        return Ok((Access::participants(members), words));
    }
    Err("is an unknown rule")
}

/// The argument in `Kind:…` or `Kind(…)`.
fn argument<'a>(text: &'a str, kind: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(kind)?;
    rest.strip_prefix(':').or_else(|| rest.strip_prefix('(')?.strip_suffix(')'))
}

/// Parses a decimal number from 0 to 1 as thousandths, if it is a whole number of them.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part = part.trim_end_matches('0');
    let digits =
        !whole.is_empty() && (whole.bytes().chain(part.bytes())).all(|b| b.is_ascii_digit());
    if !digits || whole.len() > 1 || part.len() > 3 {
        return None;
    }
    let number: u16 = format!("{whole}{part:0<3}").parse().ok()?;
    (number <= TRUST_MAX).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::access::{Policy, View};
    use crate::keypair::Keypair;

    fn view(text: &str) -> View {
        access(text).0.view().clone()
    }

    #[test]
    fn rules_are_converted_exactly_or_not_at_all() {
        let trust = |trust| View::Open(Access::min_trust(trust));
        assert_eq!(view("Public"), View::Open(Access::public()));
        for (text, least) in [
            ("TrustClass:Known", 100),
            ("TrustClass:Partner", 400),
            ("TrustClass(Federated)", 700),
            ("MinTrustScore:0.7", 700),
            ("MinTrustScore:0.125", 125),
            ("MinTrustScore(1)", 1000),
            ("MinTrustScore:0.4000", 400),
        ] {
            assert_eq!(view(text), trust(least), "{text}");
        }
        for text in [
            "",
            "public",
            "Public ",
            "PUBLIC",
            "Private",
            "\u{1}\u{1}\u{1}",
            "TrustClass:Isolated",
            "TrustClass:",
            "TrustClass",
            "TrustClass:Known ",
            "MinTrustScore:0",
            "MinTrustScore:0.0",
            "MinTrustScore:0.30000000000000004",
            "MinTrustScore:NaN",
            "MinTrustScore:-0.7",
            "MinTrustScore:1.001",
            "MinTrustScore:7e-1",
            "MinTrustScore:.7",
            "MinTrustScore:00.7",
            "Participants",
            "Participants:3",
            "Participants(3)",
            "Participants:[did:icn:x]",
            "Participants:[,]",
            "Participants:[",
        ] {
            assert_eq!(view(text), View::Sealed, "{text}");
            assert_eq!(&access(text).0.as_bytes()[1..], text.as_bytes(), "kept unchanged");
        }
    }

    #[test]
    fn a_member_list_is_converted_only_if_every_did_has_a_known_spelling() {
        let dids: Vec<Did> = (1..4).map(|seed| Keypair::from_seed([seed; 32]).did()).collect();
        let legacy = |did: &Did| format!("did:icn:z{}", bs58::encode(did.key()).into_string());
        let list = |names: &[String]| format!("Participants:[{}]", names.join(","));
        let names: Vec<String> = dids.iter().map(legacy).collect();
        assert_eq!(view(&list(&names)), View::Open(Access::participants(dids.clone())));
        assert_eq!(view(&list(&[])), View::Open(Access::participants(vec![])));
        let ours = [dids[0].to_string(), legacy(&dids[1])];
        assert_eq!(view(&list(&ours)), View::Open(Access::participants(dids[..2].to_vec())));
        let hex: String = dids[0].key().iter().map(|byte| format!("{byte:02x}")).collect();
        for wrong in [format!("did:icn:f{hex}"), names[0].to_uppercase(), String::new()] {
            assert_eq!(did(&wrong), None, "{wrong}");
            assert_eq!(view(&list(&[names[1].clone(), wrong])), View::Sealed);
        }
        assert_eq!(view(&list(&vec![names[0].clone(); PARTICIPANTS_MAX + 1])), View::Sealed);
        assert_eq!(did(&format!("did:icn:z{}", "1".repeat(1 << 20))), None);
    }

    proptest! {
        #[test]
        fn only_the_text_public_admits_all_identities(text in "(Public|TrustClass|MinTrustScore|Participants)?[:(]?\\PC{0,8}\\)?") {
            if let View::Open(access) = view(&text) {
                let public = access.read == Policy::Public || access.write == Policy::Public;
                prop_assert_eq!(public, text == "Public");
                prop_assert!(!access.read.admits(&Keypair::from_seed([9; 32]).did(), 0) || public);
            }
        }
    }
}
