/* SPDX-License-Identifier: MIT
 *
 * Why a side of a connection ended: the closed list behind connection_terminations_total{side,reason}. */
#pragma once

/* The name is the label's value; the text is the documentation's. */
#define CLOSE_REASONS(X)                                                                                               \
  X(CLOSE_NONE, "none", "the side was never opened")                                                                   \
  X(CLOSE_ENDED, "ended", "the peer ended its side, and everything was delivered")                                     \
  X(CLOSE_CLOSED, "closed", "closed by moongate because the other side, or the handler, was done")                     \
  X(CLOSE_RESET, "reset",                                                                                              \
    "the peer reset the connection, it broke (ECONNRESET, EPIPE, ETIMEDOUT), or nothing came back for "                \
    "tcp.unacknowledged")                                                                                              \
  X(CLOSE_REFUSED, "refused", "every target refused the connection")                                                   \
  X(CLOSE_UNREACHABLE, "unreachable", "no way to the target (EHOSTUNREACH, ENETUNREACH, no address left)")             \
  X(CLOSE_CONNECT_TIMEOUT, "connect_timeout", "no target answered within timeouts.connect")                            \
  X(CLOSE_RESOLVE, "resolve", "the target's name has no address, or the name servers failed")                          \
  X(CLOSE_NO_ROUTE, "no_route", "no route wanted the connection")                                                      \
  X(CLOSE_NO_DESCRIPTORS, "no_descriptors", "no file descriptor left")                                                 \
  X(CLOSE_NO_MEMORY, "no_memory", "no memory left")                                                                    \
  X(CLOSE_INITIAL_DATA, "initial_data", "its route was not known, or had not let it in, within timeouts.initial_data") \
  X(CLOSE_NO_SERVER_NAME, "no_server_name", "a TLS client named no domain, and every route wants one")                 \
  X(CLOSE_UNKNOWN_SERVER_NAME, "unknown_server_name", "a TLS client named a domain that no route has")                 \
  X(CLOSE_CLIENT_HELLO, "client_hello", "what came on a TLS port was no ClientHello, or a malformed one")              \
  X(CLOSE_PLAIN_HTTP, "plain_http", "a plain HTTP request came on a port that has TLS routes only")                    \
  X(CLOSE_PROXY_HEADER, "proxy_header",                                                                                \
    "its PROXY header was malformed, cut short, missing where it must be, or came from a peer that is not trusted")    \
  X(CLOSE_PROBE, "probe",                                                                                              \
    "a trusted peer connected and left without a byte, where a PROXY header must be: a check of its own")              \
  X(CLOSE_NOT_ALLOWED, "not_allowed", "security.ip_allow or ip_block keeps its address out")                           \
  X(CLOSE_NOT_AUTHORIZED, "not_authorized", "security.authorize said no")                                              \
  X(CLOSE_LIMIT_CONNECTIONS, "limit_connections", "as many connections as limits.connections allows are open")         \
  X(CLOSE_LIMIT_ROUTE, "limit_route", "as many as security.max_connections allows are open on its route")              \
  X(CLOSE_LIMIT_IP, "limit_ip", "its address has as many open as connections_per_ip allows")                           \
  X(CLOSE_LIMIT_RATE, "limit_rate", "its address has opened as many in the window as connection_rate allows")          \
  X(CLOSE_LIMIT_BLOCKED, "limit_blocked", "its address was over a limit, and limits.block_for has not passed")         \
  X(CLOSE_LIMIT_ADDRESSES, "limit_addresses", "limits.addresses different addresses hold connections")                 \
  X(CLOSE_NEAR_CAP, "near_cap", "quiet for limits.idle_near_cap when limits.connections, or descriptors, ran short")   \
  X(CLOSE_IDLE, "idle", "no byte moved for timeouts.idle")                                                             \
  X(CLOSE_LIFETIME, "lifetime", "older than timeouts.lifetime")                                                        \
  X(CLOSE_HALF_CLOSED, "half_closed",                                                                                  \
    "one side had ended, and half_open's time (timeouts.half_closed) passed without a byte")                           \
  X(CLOSE_HALF_DEAD, "half_dead", "one side had ended, and timeouts.half_dead passed without a byte")                  \
  X(CLOSE_STUCK, "stuck",                                                                                              \
    "the target had never answered what the client had sent, and no byte moved either way for timeouts.stuck")         \
  X(CLOSE_LINGER, "linger",                                                                                            \
    "everything was sent, but the client took none of it for timeouts.linger, or not all of it in 24 h")               \
  X(CLOSE_HANDLER_ERROR, "handler_error", "the handler, or another function of the route, raised an error")            \
  X(CLOSE_SCRIPT_TIME, "script_time", "a function of the route ran longer than limits.script_time without waiting")    \
  X(CLOSE_SHUTDOWN, "shutdown", "moongate was told to stop")                                                           \
  X(CLOSE_KILLED, "killed", "somebody ended it: `moongate kill`, or a DELETE of the API")                              \
  X(CLOSE_CHANGED, "changed", "its route changed or went, and on_change says drain or close")                          \
  X(CLOSE_SUPERSEDED, "superseded", "it held one of too many old versions of a route file (limits.old_versions)")

enum close_reason {
#define X(name, label, text) name,
  CLOSE_REASONS(X)
#undef X
      CLOSE_REASON_COUNT
};

const char *close_reason_label(enum close_reason reason);
