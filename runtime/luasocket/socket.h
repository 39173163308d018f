/* SPDX-License-Identifier: MIT
 *
 * The Lua socket, as the files socket_*.c and bind_socket.c share it: a stream with what was read ahead of the script,
 * at most one task that waits to read and one that waits to write. It is either a handler's client, whose stream is the
 * connection's, or has a stream of its own. The userdata holds a pointer to it; it is freed after the round of events
 * in which it was let go. */
#pragma once

#include "core/buffer.h"
#include "net/pipe.h"
#include "net/stream.h"
#include "script/scheduler.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct script_run;
struct socket_flow; /* socket_flow.c */

enum {
  SOCKET_NO_TIMEOUT = -1,
  SOCKET_MAX_LINE = 64 * 1024,
  SOCKET_MAX_PEEK = 1024 * 1024,
  SOCKET_MAX_PATTERN = 4 * 1024,
  SOCKET_LINGER_MS = 5000, /* without progress, for a peer to take what was sent, where no route says how long */
};

/* What a read is after. */
enum socket_wanted {
  WANTED_COUNT,
  WANTED_LINE,
  WANTED_LAST_LINE /* also an unfinished one */,
  WANTED_ALL,
  WANTED_ANY,
  WANTED_PEEK,
  WANTED_UNTIL /* a string that comes in it */,
  WANTED_FEED /* whatever comes, which goes to reader->feed */,
  WANTED_TLS /* the end of the handshake */
};

/* How long the calls of one direction may wait, in milliseconds: each in all, and each without a byte moving. */
struct socket_time {
  int64_t call_ms, step_ms;
};

static inline bool socket_polls(const struct socket_time *time) { return time->call_ms == 0 || time->step_ms == 0; }

/* What receiveuntil() looks for; a userdata of its reader (socket_until.c). */
struct socket_pattern;

/* Takes what has come, outside of Lua too: the first `*consumed` bytes of it. What it returns is what the script's call
 * returns, a number. */
typedef int socket_feed_fn(void *context, const void *bytes, size_t size, size_t *consumed);

struct socket_reader {
  struct script_wait wait;
  struct wheel_timer timer;
  clock_ms deadline;
  enum socket_wanted wanted;
  size_t size;    /* bytes that it takes, at least or at most as `wanted` says */
  size_t scanned; /* of what is ahead, and has no line's end in it */
  struct buffer *prefix;
  size_t found;                   /* what is ahead and goes to the script, when there is no error */
  size_t dropped;                 /* … and what stands behind it and goes too, unseen */
  struct socket_pattern *pattern; /* the waiting coroutine keeps it */
  size_t matched;                 /* of the pattern, at `scanned` */
  socket_feed_fn *feed;           /* WANTED_FEED; the waiting coroutine keeps its context */
  void *feed_context;
  bool connecting;   /* WANTED_TLS for moongate.connect: the result is the socket */
  const char *error; /* NULL, or why it ends without what was wanted */
};

struct socket_writer {
  struct script_wait wait;
  struct wheel_timer timer;
  clock_ms deadline;
  const char *bytes; /* a Lua string that the waiting coroutine keeps */
  size_t from;       /* index, from 0, of the first byte that was to be sent */
  size_t next, end;  /* … of the next one, and past the last one */
  const char *error;
};

struct script_socket {
  struct script_state *state;
  struct stream *stream;  /* own, or the connection's client; NULL once it is closed */
  struct script_run *run; /* of a connection, whose end closes it; NULL for others, and after that */
  struct list_node mine;  /* of its own: in run->sockets */
  struct list_node held;  /* in state->sockets, until Lua has let go of it */
  struct buffer *ahead;   /* read, and not taken by the script; NULL mostly */
  size_t counted;         /* of it, in state->memory_used: nothing while it is small */
  const uint8_t *fresh; /* … and, while `ahead` is empty, what has just been read into the place's buffer; gone in the
                           next event */
  size_t fresh_size;
  struct socket_time receive_time, send_time;
  clock_ms opened;
  char *host; /* of its own: where moongate.connect was told to connect; NULL */
  bool is_client, ended, shut_send, shut_receive;
  bool has_long_lines;                     /* of any length that there is memory for, as LuaSocket's are */
  struct script_wait *piped;               /* joined to another one by pipe(): the wait for its end; NULL */
  struct socket_flow *flow_from, *flow_to; /* a pipe() of one way takes its bytes, or brings it some; NULL */
  bool cut_short;                          /* such a one was cancelled in the middle: its end must not look like one */
  bool handshake_failed;                   /* `failure` is not the connection's: the peer is still to be told why */
  bool broken_by_us;                       /* … nor is it the peer's */
  bool lingering, collected;               /* of its own; the later of the two ends frees it */
  const char *failure;                     /* what a broken stream answers; NULL mostly */
  struct socket_reader reader;
  struct socket_writer writer;
  struct deferred wake; /* looks at both again, outside of Lua */
  struct deferred freeing;
  struct list_node node;   /* in place->lingering */
  struct wheel_timer look; /* of its own: whether the peer is still there; lingering: whether it takes anything */
  bool dozes;              /* nothing was on its way when it was looked last, nor has been sent since */
  bool probed;             /* TCP's keep-alive probes are on; or the script has said how they are to be */
  clock_ms silent_since;   /* net/silence.h */
  clock_ms linger_until, linger_end; /* end: however much the peer takes */
  size_t unsent;                     /* lingering: what the peer had not taken when it was looked last */
  struct deferred discarding;
  struct tally tally;  /* of a stream of its own */
  struct stream own[]; /* one, or, for a client, none */
};

/* Begins a socket whose `stream` is set (socket_wait.c). */
void socket_prepare(struct script_socket *socket, struct script_state *state);

/* The stream's events come to the socket (again). */
void socket_take_events(struct script_socket *socket);

/* Pushes the userdata, empty; everything that may raise is over then. */
struct script_socket **socket_push_empty(lua_State *L);

/* Fills an empty one with a stream of its own on `fd`. 0 or a negative errno; then `fd` is still the caller's. */
int socket_fill(struct script_socket **place, struct script_state *state, int fd, struct script_run *run);

/* Pushes a new socket on a stream of its own; `run` may be NULL. See script_push_socket(). */
int socket_push_own(struct script_state *state, lua_State *L, int fd, struct script_run *run);

/* Pushes a handler's client socket. NULL without memory of our own (nothing is pushed); raises without Lua memory. */
struct script_socket *socket_push_client(struct script_state *state, lua_State *L, struct script_run *run,
                                         struct stream *client);

/* The connection takes its stream back: the socket is closed for Lua, and nothing of it waits any more. With
 * `give_back` what was read ahead goes back to the stream. 0 or -ENOMEM. */
int socket_detach(struct script_socket *socket, bool give_back);

/* The socket at `index`; raises when it is none, or another connection's. Closed ones come with stream NULL. */
struct script_socket *socket_check(lua_State *L, int index);

/* The same for its userdata, when that it is one has been seen before. */
struct script_socket *socket_check_userdata(lua_State *L, void *userdata);

/* Closed for Lua: what was sent goes out, a stream of its own ends well (socket_linger.c). Waiting tasks are told in
 * this round. */
void socket_close(struct script_socket *socket);
void socket_linger(struct script_socket *socket, struct script_place *place);

/* Begins to look whether the peer of a stream of its own is still there (socket_watch.c). */
void socket_watch(struct script_socket *socket);

/* Bytes may have been sent on one that dozes: looks begin again. */
void socket_wake(struct script_socket *socket);

/* The userdata is gone, and nothing of it waits. */
void socket_collected(struct script_socket *socket);

/* What was read ahead goes back to the stream. 0 or -ENOMEM. */
int socket_give_back(struct script_socket *socket);

/* Bytes have moved. */
void socket_touch(struct script_socket *socket, const struct script_task *task);

/* Goes on with who waits, as far as it gets (socket_receive.c, socket_send.c); true when it is done and
 * `task_resume_with` is due. */
bool socket_read_on(struct script_socket *socket);
bool socket_write_on(struct script_socket *socket);
int socket_push_received(lua_State *L, void *context);
int socket_push_sent(lua_State *L, void *context);

/* What is ahead of the script (socket_ahead.c, as what follows); NULL when nothing is. */
const uint8_t *socket_bytes_ahead(const struct script_socket *socket, size_t *size);

/* `ahead` has changed, or is freed: see script_buffer_count(). */
void socket_count_ahead(struct script_socket *socket);
void socket_forget_ahead(struct script_socket *socket);

/* The script has taken the first `size` of what is ahead. */
void socket_consume(struct script_socket *socket, size_t size);

/* What is fresh must outlast this event. */
void socket_keep_fresh(struct script_socket *socket);

/* What one call may bring together. */
size_t socket_most_bytes(const struct script_socket *socket);

/* Begins a reading call on the socket at 1, and performs it once it is set up. */
struct script_socket *socket_begin_reading(lua_State *L);
int socket_perform_reading(lua_State *L, struct script_socket *socket);

/* A reading call on a socket from socket_check_userdata(): what comes goes to `feed`. Returns a number, or nil and why
 * nothing comes. What `context` is part of has to be on the stack of `L`. */
int socket_receive_into(lua_State *L, struct script_socket *socket, socket_feed_fn *feed, void *context);

/* Hands what is ahead to reader->feed now, even when nothing is. */
int socket_feed(struct script_socket *socket);

/* A sending call: `head`, then the string at index `body` of the stack (0: none). Returns what send() does, but that
 * the count of a success means nothing. */
int socket_send_parts(lua_State *L, struct script_socket *socket, const struct iovec *head, int body);

/* WANTED_UNTIL: whether what is ahead is enough (socket_until.c). Afterwards the script has been handed something. */
bool socket_has_until(struct script_socket *socket);
bool socket_until_is_over(struct script_socket *socket);

/* WANTED_TLS: goes on with the handshake; pushes what came of it (socket_tls.c). */
bool socket_shake_on(struct script_socket *socket);
int socket_push_shaken(lua_State *L, struct script_socket *socket);

/* What a client's `tls` or starttls' options at `index` ask for (socket_tls.c): a context of the place's, one
 * reference; NULL: its fault and detail are pushed. The server's name, where the options have one, stays on the stack
 * of who calls. */
struct tls_context *socket_check_tls(lua_State *L, int index, bool is_server, const char **server_name);

/* Waits for the reader or writer, which is set up; with `turn_over` only so that others have their turn. */
int socket_wait_to_read(lua_State *L, struct script_socket *socket, bool turn_over);
int socket_wait_to_write(lua_State *L, struct script_socket *socket, bool turn_over);

/* Waits for the handshake, at most `ms` (negative: as long as it takes); `instead_of` another wait, or NULL. */
int socket_wait_to_shake(lua_State *L, struct script_socket *socket, int64_t ms);
void socket_shake_instead(struct script_wait *of, struct script_socket *socket, int64_t ms);

/* Bytes have moved for one who waits: what a step may take begins anew. */
void socket_restart_step(struct script_socket *socket, bool reading);

/* Methods, those that wait in the files that are named after them, and all of them by name (bind_socket.c). */
extern const luaL_Reg socket_methods[];
int socket_receive(lua_State *L);
int socket_receiveany(lua_State *L);
int socket_peek(lua_State *L);
int socket_lines(lua_State *L);
int socket_send(lua_State *L);
int socket_pipe(lua_State *L);
int socket_receiveuntil(lua_State *L);
int socket_starttls(lua_State *L);
int socket_tls(lua_State *L);
int socket_settimeout(lua_State *L);
int socket_gettimeout(lua_State *L);
int socket_setoption(lua_State *L);
int socket_getoption(lua_State *L);
int socket_getstats(lua_State *L);
int socket_nil_closed(lua_State *L);

/* setoption() and getoption() of a descriptor that is no socket of Lua's yet; also those options that only such a one
 * has. */
int socket_set_option_of(lua_State *L, int fd);
int socket_get_option_of(lua_State *L, int fd);

/* What getpeername() and getsockname() push of a descriptor. */
int socket_push_name(lua_State *L, int fd, int (*name)(int fd, struct sockaddr *address, socklen_t *length));

/* Whether a receiving call would not wait: reads ahead, of one that no other task reads from. */
bool socket_is_readable(struct script_socket *socket);

/* Whether another task, or a pipe, has a direction of it. */
static inline bool socket_has_reader(const struct script_socket *socket) {
  return socket->reader.wait.task != NULL || socket->piped != NULL || socket->flow_from != NULL;
}
static inline bool socket_has_writer(const struct script_socket *socket) {
  return socket->writer.wait.task != NULL || socket->piped != NULL || socket->flow_to != NULL;
}
static inline bool socket_is_joined(const struct script_socket *socket) {
  return socket->piped != NULL || socket->flow_from != NULL || socket->flow_to != NULL;
}

/* How long one has, without progress, to take what stands in front of the other's end, or of its failure, in ms: 0 is
 * without a bound, and at once. The route's, or where there is none, our own (socket_pipe.c). */
struct socket_ends {
  uint64_t half_dead, linger;
};
struct exchange;
void socket_take_ends(struct socket_ends *ends, const struct exchange *exchange);

/* pipe() with one_way or bytes (`count`, or FLOW_TO_THE_END), all arguments checked; `task` may wait (socket_flow.c).
 */
int socket_pipe_one_way(lua_State *L, struct script_task *task, struct script_socket *from, struct script_socket *to,
                        uint64_t count);

/* Goes on with one after an event of either socket. */
void socket_flow_on(struct socket_flow *moving);

/* The socket is gone: those that it is part of end, as if their tasks went. Or the script closes it: their tasks are
 * told in this round. */
void socket_flows_let_go(struct script_socket *socket);
void socket_flows_end(struct script_socket *socket);

/* Whether what a task waits for is one to the end of its source, which has brought nothing for a while. */
bool socket_flow_is_quiet(const struct script_wait *wait, clock_ms now);

static inline bool socket_is_shaking(const struct script_socket *socket) {
  return socket->reader.wait.task != NULL && socket->reader.wanted == WANTED_TLS;
}

/* What a negative errno from a stream or a dial is called in Lua: LuaSocket's words. */
const char *socket_error_text(int status);

/* The same of a stream that was there: whatever way the network has taken the peer away is "closed". */
const char *socket_failure_text(int status);

/* moongate.connect(host, port, options) (bind_connect.c). */
int core_connect(lua_State *L);

/* For lua/moongate/luasocket/: bind_open.c, bind_select.c. */
int core_open_socket(lua_State *L);
int core_connected_state(lua_State *L);
int core_service(lua_State *L);
int core_select(lua_State *L);

/* The run that has opened them ends. */
void open_sockets_close(struct list_node *opened);

/* The descriptor of the open socket at `index` (bind_open.c), -1 for a closed one; false: it is no such thing. */
bool open_socket_descriptor(lua_State *L, int index, int *fd);

/* For struct script_parts: bind_socket.c, socket_linger.c. */
void script_sockets_let_go(struct script_state *state);
void script_place_close_lingering(struct script_place *place);

/* Bytes from the network that wait for a script before they are Lua's: what its sockets have read ahead, and the bodies
 * of requests. Beyond 64 KiB each they count against the memory of the script's state. (socket_ahead.c) */

/* `buffer` (may be NULL) has changed, or is gone: its memory counts as the state's. `*counted`, 0 at first, is how much
 * of it does. */
void script_buffer_count(struct script_state *state, const struct buffer *buffer, size_t *counted);

/* Whether `size` more bytes in `buffer` (may be NULL) would be too many for the state, also without its garbage, which
 * is collected then. The last quarter of its memory is left to Lua, so that those who hold much fail before others do.
 */
bool script_buffer_is_too_large(struct script_state *state, const struct buffer *buffer, size_t size);

/* … and for `size` bytes wherever they are held. */
bool script_buffer_has_room(struct script_state *state, size_t size);
