use super::*;

#[test]
fn every_refusal_of_a_message_carries_a_code_and_is_no_success_by_accident() {
    let rows = [
        (Refusal::TokenMissing, 401, Some(INVALID_REQUEST)),
        (Refusal::TokenInvalid, 401, Some(INVALID_REQUEST)),
        (Refusal::WrongServer, 403, Some(INVALID_REQUEST)),
        (Refusal::RegistryStale, 503, Some(INTERNAL_ERROR)),
        (Refusal::Json(JsonError::NotUtf8), 400, Some(PARSE_ERROR)),
        (Refusal::Batch, 400, Some(INVALID_REQUEST)),
        (Refusal::Shape("x"), 400, Some(INVALID_REQUEST)),
        (Refusal::HeaderMismatch("x"), 400, Some(HEADER_MISMATCH)),
        (Refusal::EnvelopeIncomplete, 400, Some(INVALID_PARAMS)),
        (
            Refusal::VersionUnsupported {
                requested: String::new(),
            },
            400,
            Some(VERSION_UNSUPPORTED),
        ),
        (Refusal::LegacyVersionUnknown, 400, Some(INVALID_REQUEST)),
        (Refusal::EraMixed, 400, Some(INVALID_PARAMS)),
        (Refusal::ResponseInModern, 400, Some(INVALID_REQUEST)),
        (Refusal::PostOnly, 405, Some(INVALID_REQUEST)),
        (Refusal::SessionUnknown, 404, Some(INVALID_REQUEST)),
        (Refusal::SessionMissing, 400, Some(INVALID_REQUEST)),
        (Refusal::EventIdUnknown, 400, Some(INVALID_REQUEST)),
        (Refusal::MethodForbidden, 200, Some(METHOD_NOT_FOUND)),
        (Refusal::MethodForbiddenModern, 404, Some(METHOD_NOT_FOUND)),
        (Refusal::NotificationForbidden, 400, Some(METHOD_NOT_FOUND)),
        (Refusal::PathUnknown, 404, None),
        (Refusal::HttpMethodUnknown, 405, None),
        (Refusal::HostUnknown, 421, None),
        (Refusal::OriginForbidden, 403, None),
        (Refusal::ContentType, 415, None),
        (Refusal::ContentEncoding, 415, None),
        (Refusal::BodyTooLarge, 413, Some(INVALID_REQUEST)),
        (Refusal::HeadTooLarge, 431, None),
        (Refusal::BodyTimeout, 408, None),
        (Refusal::TooManyOpen, 429, Some(TOO_MANY_REQUESTS)),
        (Refusal::NoRoom, 503, Some(INTERNAL_ERROR)),
        (Refusal::UpstreamNoRoom, 502, Some(INTERNAL_ERROR)),
        (Refusal::UpstreamUnreachable, 502, Some(INTERNAL_ERROR)),
        (Refusal::UpstreamTimeout, 504, Some(INTERNAL_ERROR)),
        (Refusal::UpstreamUnreadable, 502, Some(INTERNAL_ERROR)),
        (
            Refusal::UpstreamRefused(StatusCode::NOT_FOUND),
            404,
            Some(INTERNAL_ERROR),
        ),
    ];
    for (refusal, status, code) in rows {
        let row = refusal.row();
        assert_eq!(
            (row.status.as_u16(), row.code),
            (status, code),
            "{refusal:?}"
        );
    }
}
