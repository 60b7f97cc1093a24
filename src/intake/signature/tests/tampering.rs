//! A signed request with any flipped bit does not verify.

use proptest::prelude::*;

use super::*;

fn any_seal() -> impl Strategy<Value = MessageSignature> {
    let algorithm =
        prop_oneof![Just(Algorithm::Sha1), Just(Algorithm::Sha256), Just(Algorithm::Sha512)];
    let encoding =
        prop_oneof![Just(Encoding::Hex), Just(Encoding::Base64), Just(Encoding::Base64Url)];
    let plain =
        (algorithm, encoding).prop_map(|(algorithm, encoding)| hmac(algorithm, encoding, "v1="));
    let hash = plain.clone().prop_map(|seal| MessageSignature {
        method: SigningMethod::Hash(Algorithm::Sha256),
        message: MessageTemplate::parse("{secret}{method}{body}").unwrap(),
        ..seal
    });
    prop_oneof![plain, hash, Just(timed())]
}

fn any_pair() -> impl Strategy<Value = Signature> {
    let curve = prop_oneof![Just(Curve::Ed25519), Just(Curve::P256)];
    (any_seal(), curve).prop_map(|(seal, curve)| {
        let message = match seal.clock {
            Some(_) => seal.message,
            None => MessageTemplate::parse("{method}{body}").unwrap(),
        };
        let scheme =
            Scheme::Message(MessageSignature { method: SigningMethod::KeyPair, message, ..seal });
        let encoding = SecretEncoding::Key(curve);
        Signature {
            secret: SecretFormat { encoding, ..SecretFormat::default() },
            ..signature(scheme)
        }
    })
}

proptest! {
    #[test]
    fn signed_body_verifies_and_no_flipped_bit_does(
        seal in any_seal(),
        body in prop::collection::vec(any::<u8>(), 1..300),
        secret in "[ -~]{1,40}",
        flip in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let signature = signature(Scheme::Message(seal));
        let keys = keys(&signature, &[&secret]);
        let headers = signed(&signature, &signing(&keys[0]), &body);
        let verify = |keys: &[Key], headers: &Headers, body: &[u8]| {
            signature.verify(keys, &request(headers, body), at(1_000))
        };
        prop_assert_eq!(verify(&keys, &headers, &body), Ok(Some(0)));

        let mut tampered = body.clone();
        tampered[flip.index(body.len())] ^= 1 << bit;
        prop_assert_eq!(verify(&keys, &headers, &tampered), Err(VerifyError::Mismatch));

        let mut other = secret.clone().into_bytes();
        other[flip.index(secret.len())] ^= 1;
        let other = String::from_utf8(other).unwrap();
        let other = [signature.key(&other.as_str().into(), None, 0).unwrap()];
        prop_assert_eq!(verify(&other, &headers, &body), Err(VerifyError::Mismatch));
    }

    #[test]
    fn no_flipped_bit_of_the_signature_verifies(
        seal in any_seal(),
        body in prop::collection::vec(any::<u8>(), 0..50),
        flip in any::<prop::sample::Index>(),
        bit in 0..7_u8,
    ) {
        let hex = seal.encoding == Encoding::Hex;
        let signature = signature(Scheme::Message(seal));
        let keys = keys(&signature, &["secret"]);
        let mut headers = signed(&signature, &signing(&keys[0]), &body);
        let written = headers["x-sig"].clone();
        let mut bytes = written.clone().into_bytes();
        bytes[flip.index(written.len())] ^= 1 << bit;
        let flipped = String::from_utf8(bytes).unwrap();
        // The case of hex digits and blanks around a signature make no difference.
        prop_assume!(!hex || !flipped.eq_ignore_ascii_case(&written));
        headers.insert("x-sig".to_owned(), flipped);

        let verified = signature.verify(&keys, &request(&headers, &body), at(1_000));

        prop_assert!(verified.is_err());
    }

    #[test]
    fn random_header_does_not_panic_verification(seal in any_seal(), written in "\\PC{0,80}") {
        let signature = signature(Scheme::Message(seal));
        let keys = keys(&signature, &["secret"]);
        let headers = headers(&[("x-sig", &written)]);
        prop_assert!(signature.verify(&keys, &request(&headers, b""), at(0)).is_err());
    }
}

proptest! {
    // These curves are slow without optimization.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn private_key_signature_verifies_and_no_flipped_bit_does(
        signature in any_pair(),
        body in prop::collection::vec(any::<u8>(), 1..300),
        seed in prop::array::uniform32(1..=250_u8),
        flip in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let (public, private) = signature.generate_trial(&seed).unwrap();
        let (other, _) = signature.generate_trial(&[251; 32]).unwrap();
        let headers = signed(&signature, &signature.signing_key(&private).unwrap(), &body);
        let verify = |public: &SecretString, headers: &Headers, body: &[u8]| {
            let key = signature.key(public, None, 0).unwrap();
            signature.verify(&[key], &request(headers, body), at(1_000))
        };
        prop_assert_eq!(verify(&public, &headers, &body), Ok(Some(0)));
        prop_assert_eq!(verify(&other, &headers, &body), Err(VerifyError::Mismatch));

        let mut tampered = body.clone();
        tampered[flip.index(body.len())] ^= 1 << bit;
        prop_assert_eq!(verify(&public, &headers, &tampered), Err(VerifyError::Mismatch));

        let mut forged = headers.clone();
        let written = &headers["x-sig"];
        let at = flip.index(written.len());
        let mut bytes = written.clone().into_bytes();
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        forged.insert("x-sig".to_owned(), String::from_utf8(bytes).unwrap());
        prop_assert!(verify(&public, &forged, &body).is_err());
    }
}
