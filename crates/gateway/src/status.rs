//! The one table of everything that the gateway answers itself, apart from a policy's denials:
//! HTTP status, JSON-RPC code, the sentence the caller reads, and the stage that refused.

use http::StatusCode;
use quotum_telemetry::label::Stage;

use crate::json::JsonError;

#[cfg(test)]
mod tests;

/// JSON-RPC: the text is no JSON.
pub const PARSE_ERROR: i32 = -32700;
/// JSON-RPC: the JSON is no request.
pub const INVALID_REQUEST: i32 = -32600;
/// JSON-RPC: no such method.
pub const METHOD_NOT_FOUND: i32 = -32601;
/// JSON-RPC: the parameters are wrong; MCP's answer to an unknown tool.
pub const INVALID_PARAMS: i32 = -32602;
/// JSON-RPC: the other side failed.
pub const INTERNAL_ERROR: i32 = -32603;
/// MCP: a header contradicts the body.
pub const HEADER_MISMATCH: i32 = -32020;
/// MCP: the protocol version is not spoken here.
pub const VERSION_UNSUPPORTED: i32 = -32022;
/// Too many requests: outside the reserved range, since the protocol has no code for it.
pub const TOO_MANY_REQUESTS: i32 = 429;

/// Why a request was not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    // HTTP.
    PathUnknown,
    HttpMethodUnknown,
    TargetForm,
    HostCount,
    HostUnknown,
    OriginForbidden,
    DuplicateHeader,
    HeaderValue,
    Framing,
    Upgrade,
    ContentEncoding,
    ContentType,
    HeadTooLarge,
    BodyTooLarge,
    BodyUnexpected,
    BodyTimeout,
    BodyBroken,
    TooManyOpen,
    NoRoom,
    // The grant.
    TokenMissing,
    TokenInvalid,
    WrongServer,
    RegistryStale,
    // The message.
    Json(JsonError),
    Batch,
    Shape(&'static str),
    // The era.
    HeaderMismatch(&'static str),
    EnvelopeIncomplete,
    VersionUnsupported {
        requested: String,
    },
    LegacyVersionUnknown,
    EraMixed,
    ResponseInModern,
    PostOnly,
    // The session.
    SessionUnknown,
    SessionMissing,
    EventIdWithoutSession,
    EventIdUnknown,
    // The method.
    MethodForbidden,
    MethodForbiddenModern,
    NotificationForbidden,
    TaskUnknown,
    TaskForbidden,
    ToolNameInvalid,
    ParamsInvalid,
    // The upstream.
    UpstreamUnreachable,
    UpstreamTimeout,
    UpstreamUnreadable,
    /// There is no room for its answer.
    UpstreamNoRoom,
    UpstreamRefused(StatusCode),
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub status: StatusCode,
    /// The JSON-RPC code; `None`: the answer has no body.
    pub code: Option<i32>,
    /// The stage that refused; `None`: the request was fine, its upstream was not.
    pub stage: Option<Stage>,
    pub text: &'static str,
}

// === impl Refusal ===

impl Refusal {
    /// The line of the table for this refusal.
    pub fn row(&self) -> Row {
        match self {
            Self::PathUnknown
            | Self::HttpMethodUnknown
            | Self::TargetForm
            | Self::HostCount
            | Self::HostUnknown
            | Self::OriginForbidden
            | Self::DuplicateHeader
            | Self::HeaderValue
            | Self::Framing
            | Self::Upgrade
            | Self::ContentEncoding
            | Self::ContentType
            | Self::HeadTooLarge
            | Self::BodyTooLarge
            | Self::BodyUnexpected
            | Self::BodyTimeout
            | Self::BodyBroken
            | Self::TooManyOpen
            | Self::NoRoom => self.http_row(),
            Self::UpstreamUnreachable
            | Self::UpstreamTimeout
            | Self::UpstreamUnreadable
            | Self::UpstreamNoRoom
            | Self::UpstreamRefused(_) => self.upstream_row(),
            _ => self.message_row(),
        }
    }

    fn http_row(&self) -> Row {
        use StatusCode as S;
        let (status, code, text) = match self {
            Self::PathUnknown => (S::NOT_FOUND, None, "no such path"),
            Self::HttpMethodUnknown => (S::METHOD_NOT_ALLOWED, None, "use POST, GET or DELETE"),
            Self::TargetForm => (
                S::BAD_REQUEST,
                None,
                "the request target must be a plain path",
            ),
            Self::HostCount => (S::BAD_REQUEST, None, "exactly one Host header is required"),
            Self::HostUnknown => (S::MISDIRECTED_REQUEST, None, "unknown Host"),
            Self::OriginForbidden => (S::FORBIDDEN, None, "this Origin is not allowed"),
            Self::DuplicateHeader => (
                S::BAD_REQUEST,
                Some(INVALID_REQUEST),
                "a header appears more than once",
            ),
            Self::HeaderValue => (
                S::BAD_REQUEST,
                Some(INVALID_REQUEST),
                "a header has a malformed value",
            ),
            Self::Framing => (S::BAD_REQUEST, None, "the length of the body is ambiguous"),
            Self::Upgrade => (S::BAD_REQUEST, None, "upgrades are not supported"),
            Self::ContentEncoding => (
                S::UNSUPPORTED_MEDIA_TYPE,
                None,
                "the body must not be encoded",
            ),
            Self::ContentType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                None,
                "Content-Type must be application/json in UTF-8",
            ),
            Self::HeadTooLarge => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                None,
                "the request head is too large",
            ),
            Self::BodyTooLarge => (
                S::PAYLOAD_TOO_LARGE,
                Some(INVALID_REQUEST),
                "the request body is too large",
            ),
            Self::BodyUnexpected => (S::BAD_REQUEST, None, "this method takes no body"),
            Self::BodyTimeout => (S::REQUEST_TIMEOUT, None, "the request body came too slowly"),
            Self::BodyBroken => (S::BAD_REQUEST, None, "the request body broke off"),
            Self::NoRoom => (
                S::SERVICE_UNAVAILABLE,
                Some(INTERNAL_ERROR),
                "the gateway has no room for this body now",
            ),
            _ => (
                S::TOO_MANY_REQUESTS,
                Some(TOO_MANY_REQUESTS),
                "this grant has too many open requests",
            ),
        };
        let stage = match self {
            Self::NoRoom => Stage::Room,
            _ => Stage::Http,
        };
        Row {
            status,
            code,
            stage: Some(stage),
            text,
        }
    }

    fn message_row(&self) -> Row {
        use StatusCode as S;
        let bad = S::BAD_REQUEST;
        let (stage, status, code, text) = match self {
            Self::TokenMissing => (
                Stage::Auth,
                S::UNAUTHORIZED,
                INVALID_REQUEST,
                "a bearer token is required",
            ),
            Self::TokenInvalid => (
                Stage::Auth,
                S::UNAUTHORIZED,
                INVALID_REQUEST,
                "the bearer token is unknown, expired or revoked",
            ),
            Self::WrongServer => (
                Stage::Auth,
                S::FORBIDDEN,
                INVALID_REQUEST,
                "the grant is not for this server",
            ),
            Self::RegistryStale => (
                Stage::Auth,
                S::SERVICE_UNAVAILABLE,
                INTERNAL_ERROR,
                "the gateway's copy of the policies is too old",
            ),
            Self::Json(_) => (
                Stage::Parse,
                bad,
                PARSE_ERROR,
                "the body is not strict JSON",
            ),
            Self::Batch => (
                Stage::Parse,
                bad,
                INVALID_REQUEST,
                "the body must be one JSON object, no batch",
            ),
            Self::Shape(text) => (Stage::Shape, bad, INVALID_REQUEST, *text),
            Self::HeaderMismatch(text) => (Stage::Era, bad, HEADER_MISMATCH, *text),
            Self::EnvelopeIncomplete => (
                Stage::Era,
                bad,
                INVALID_PARAMS,
                "a required member of _meta is missing",
            ),
            Self::VersionUnsupported { .. } => (
                Stage::Era,
                bad,
                VERSION_UNSUPPORTED,
                "unsupported protocol version",
            ),
            Self::LegacyVersionUnknown => (
                Stage::Era,
                bad,
                INVALID_REQUEST,
                "unsupported MCP-Protocol-Version",
            ),
            Self::EraMixed => (
                Stage::Era,
                bad,
                INVALID_PARAMS,
                "MCP-Protocol-Version and _meta belong to different protocol versions",
            ),
            Self::ResponseInModern => (
                Stage::Era,
                bad,
                INVALID_REQUEST,
                "this protocol version has no client responses",
            ),
            Self::PostOnly => (
                Stage::Era,
                S::METHOD_NOT_ALLOWED,
                INVALID_REQUEST,
                "this protocol version uses POST",
            ),
            Self::SessionUnknown => (
                Stage::Session,
                S::NOT_FOUND,
                INVALID_REQUEST,
                "Session not found",
            ),
            Self::SessionMissing => (
                Stage::Session,
                bad,
                INVALID_REQUEST,
                "Mcp-Session-Id is required",
            ),
            Self::EventIdWithoutSession => (
                Stage::Session,
                bad,
                INVALID_REQUEST,
                "Last-Event-ID needs an Mcp-Session-Id",
            ),
            Self::EventIdUnknown => (
                Stage::Session,
                bad,
                INVALID_REQUEST,
                "Last-Event-ID is no event of this session",
            ),
            Self::MethodForbidden => (Stage::Method, S::OK, METHOD_NOT_FOUND, "Method not found"),
            Self::MethodForbiddenModern => (
                Stage::Method,
                S::NOT_FOUND,
                METHOD_NOT_FOUND,
                "Method not found",
            ),
            Self::NotificationForbidden => {
                (Stage::Method, bad, METHOD_NOT_FOUND, "unknown notification")
            }
            Self::TaskUnknown => (Stage::Method, S::OK, INVALID_PARAMS, "Task not found"),
            Self::TaskForbidden => (
                Stage::Method,
                S::OK,
                INVALID_PARAMS,
                "the tool of this task is not permitted by policy",
            ),
            Self::ToolNameInvalid => (
                Stage::Method,
                S::OK,
                INVALID_PARAMS,
                "params.name must be a tool name",
            ),
            _ => (
                Stage::Method,
                S::OK,
                INVALID_PARAMS,
                "params has members of a wrong type",
            ),
        };
        Row {
            status,
            code: Some(code),
            stage: Some(stage),
            text,
        }
    }

    fn upstream_row(&self) -> Row {
        let (status, text) = match self {
            Self::UpstreamUnreachable => {
                (StatusCode::BAD_GATEWAY, "the MCP server cannot be reached")
            }
            Self::UpstreamTimeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "the MCP server did not answer in time",
            ),
            Self::UpstreamNoRoom => (
                StatusCode::BAD_GATEWAY,
                "the gateway had no room for the MCP server's answer: the request may have run",
            ),
            Self::UpstreamRefused(status) => (*status, "the MCP server refused the request"),
            _ => (
                StatusCode::BAD_GATEWAY,
                "the MCP server's answer cannot be used",
            ),
        };
        let stage = match self {
            Self::UpstreamNoRoom => Some(Stage::Room),
            _ => None,
        };
        Row {
            status,
            code: Some(INTERNAL_ERROR),
            stage,
            text,
        }
    }

    /// Whether the connection must end: what follows on it may not be a request of its own.
    pub fn closes(&self) -> bool {
        matches!(
            self,
            Self::Framing
                | Self::Upgrade
                | Self::HostCount
                | Self::TargetForm
                | Self::BodyTooLarge
                | Self::BodyUnexpected
                | Self::BodyTimeout
                | Self::BodyBroken
                | Self::NoRoom
                | Self::HeadTooLarge
        )
    }
}
