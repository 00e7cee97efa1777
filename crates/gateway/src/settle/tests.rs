use super::*;

fn error(code: i64) -> End {
    End::Answered(Answer::Error { code: Some(code) })
}

fn status(code: u16) -> End {
    End::Status(StatusCode::from_u16(code).expect("a status"))
}

const RESULT: End = End::Answered(Answer::Result { is_error: false });
const TOOL_ERROR: End = End::Answered(Answer::Result { is_error: true });

#[test]
fn units_come_back_only_where_the_tool_provably_did_not_run() {
    let refunded = [End::NotSent]
        .into_iter()
        .chain([401, 404, 405, 406, 413, 415].map(status))
        .chain([-32700, -32600, -32601, -32020, -32021, -32022].map(error));
    for end in refunded {
        assert_eq!(
            settle(Refund::NotExecuted, end),
            Settlement::Refund,
            "{end:?}"
        );
    }
    let kept = [
        RESULT,
        TOOL_ERROR,
        End::Unknown,
        End::Answered(Answer::Error { code: None }),
    ]
    .into_iter()
    .chain([200, 202, 400, 403, 408, 409, 429, 500, 502, 503, 504].map(status))
    .chain([-32602, -32603, -32019, -32023, -32000, 429, 0].map(error));
    for end in kept {
        assert_eq!(
            settle(Refund::NotExecuted, end),
            Settlement::Keep,
            "{end:?}"
        );
    }
}

#[test]
fn any_failure_gives_up_the_bound_and_never_keeps_it() {
    for end in [
        End::NotSent,
        End::Unknown,
        TOOL_ERROR,
        error(-32602),
        status(500),
    ] {
        assert_eq!(
            settle(Refund::AnyFailure, end),
            Settlement::Refund,
            "{end:?}"
        );
        assert_eq!(settle(Refund::Never, end), Settlement::Keep, "{end:?}");
    }
    assert_eq!(settle(Refund::AnyFailure, RESULT), Settlement::Keep);
    assert_eq!(settle(Refund::AnyFailure, status(202)), Settlement::Keep);
}
