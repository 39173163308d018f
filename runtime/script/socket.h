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

struct script_run;

enum { SOCKET_NO_TIMEOUT = -1, SOCKET_MAX_LINE = 64 * 1024, SOCKET_MAX_PEEK = 1024 * 1024 };

/* What a read is after. */
enum socket_wanted {
  WANTED_COUNT,
  WANTED_LINE,
  WANTED_LAST_LINE /* also an unfinished one */,
  WANTED_ALL,
  WANTED_ANY,
  WANTED_PEEK
};

struct socket_reader {
  struct script_wait wait;
  struct wheel_timer timer;
  enum socket_wanted wanted;
  size_t size;    /* bytes that it takes, at least or at most as `wanted` says */
  size_t scanned; /* of what is ahead, and has no line's end in it */
  struct buffer *prefix;
  size_t found;      /* what is ahead and goes to the script, when there is no error */
  const char *error; /* NULL, or why it ends without what was wanted */
};

struct socket_writer {
  struct script_wait wait;
  struct wheel_timer timer;
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
  struct buffer *ahead;   /* read, and not taken by the script; NULL mostly */
  const uint8_t *fresh; /* … and, while `ahead` is empty, what has just been read into the place's buffer; gone in the
                           next event */
  size_t fresh_size;
  int64_t timeout_ms; /* for each waiting call */
  bool is_client, ended, shut_send, shut_receive, piped;
  bool lingering, collected; /* of its own; the later of the two ends frees it */
  const char *failure;       /* what a broken stream answers; NULL mostly */
  struct socket_reader reader;
  struct socket_writer writer;
  struct deferred wake; /* looks at both again, outside of Lua */
  struct deferred freeing;
  struct list_node node; /* in place->lingering */
  struct wheel_timer linger;
  size_t unsent; /* lingering: what the peer had not taken when it was looked last */
  struct deferred discarding;
  struct tally tally;  /* of a stream of its own */
  struct stream own[]; /* one, or, for a client, none */
};

/* Begins a socket whose `stream` is set (socket_wait.c). */
void socket_prepare(struct script_socket *socket, struct script_state *state);

/* The stream's events come to the socket (again). */
void socket_take_events(struct script_socket *socket);

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

/* Closed for Lua: what was sent goes out, a stream of its own ends well (socket_linger.c). Waiting tasks are told in
 * this round. */
void socket_close(struct script_socket *socket);
void socket_linger(struct script_socket *socket, struct script_place *place);

/* The userdata is gone, and nothing of it waits. */
void socket_collected(struct script_socket *socket);

/* Bytes have moved. */
void socket_touch(const struct script_socket *socket, const struct script_task *task);

/* Goes on with who waits, as far as it gets (socket_receive.c, socket_send.c); true when it is done and
 * `task_resume_with` is due. */
bool socket_read_on(struct script_socket *socket);
bool socket_write_on(struct script_socket *socket);
int socket_push_received(lua_State *L, void *context);
int socket_push_sent(lua_State *L, void *context);

/* Waits for the reader or writer, which is set up; with `turn_over` only so that others have their turn. */
int socket_wait_to_read(lua_State *L, struct script_socket *socket, bool turn_over);
int socket_wait_to_write(lua_State *L, struct script_socket *socket, bool turn_over);

/* Methods, and all of them by name (bind_socket.c). */
extern const luaL_Reg socket_methods[];
int socket_receive(lua_State *L);
int socket_receiveany(lua_State *L);
int socket_peek(lua_State *L);
int socket_lines(lua_State *L);
int socket_send(lua_State *L);
int socket_pipe(lua_State *L);

/* What a negative errno from a stream or a dial is called in Lua: LuaSocket's words. */
const char *socket_error_text(int status);
