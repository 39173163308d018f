/* SPDX-License-Identifier: MIT
 *
 * A stream is a transport: a socket (TCP or unix), or TLS over one, as its kind says (tls/stream.h). It holds the
 * socket, what was read ahead and given back (`unread`), and the tally of the client's wire. What has a meaning of
 * its own, such as a body of HTTP, is no third kind: it stands above.
 *
 * Goals: one call per piece of work and no more system calls than the work needs; edge-triggered readiness, kept here,
 * so that nothing is registered again while bytes move. Not a goal: buffering. Who reads keeps the bytes, or gives them
 * back. */
#pragma once

#include "core/buffer.h"
#include "core/loop.h"
#include "core/tally.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct stream;

/* What reading and writing return besides a count. 0 from a read is the end of the stream. Errors are a negative errno,
 * which is never below -4095. */
enum {
  STREAM_WANT_READ = -5001,  /* goes on after the next on_ready with STREAM_READABLE */
  STREAM_WANT_WRITE = -5002, /* … with STREAM_WRITABLE */
};

enum stream_readiness {
  STREAM_READABLE = 1, /* a read may bring something: bytes, the end or an error */
  STREAM_WRITABLE = 2, /* a write may be taken */
  STREAM_ENDED = 4,    /* the peer has ended its side (its FIN is behind the bytes that are still to be read) */
  STREAM_FAILED = 8,   /* the socket is broken (reset, …); what arrived before can still be read, then the error */
  STREAM_URGENT = 16,  /* the peer has sent urgent data: a read stops there, so a short one has not emptied the queue */
  STREAM_BROKEN = 32,  /* beside FAILED: by an error, rather than by having ended both ways */
};

/* Called in an event of the stream, with `readiness` brought up to date. May close the stream. */
typedef void stream_ready_fn(struct stream *stream, void *context);

struct stream_ops {
  const char *name;
  ssize_t (*read)(struct stream *stream, void *bytes, size_t size);
  ssize_t (*writev)(struct stream *stream, const struct iovec *parts, int count);
  /* Ends our side: the peer reads the end after all that was written. 0, WANT or a negative errno. */
  int (*shutdown)(struct stream *stream);
  /* The bytes on the socket are the stream's own: splice(2) may move them without the kind. */
  bool is_plain;
  /* Releases what the kind holds above the socket, which stream_close() closes afterwards. NULL: nothing to release. */
  void (*close)(struct stream *stream);
  /* Bytes that it has taken and not handed to the socket yet. NULL: none ever. */
  size_t (*held)(const struct stream *stream);
};

struct stream {
  struct poll_source source;
  const struct stream_ops *ops; /* NULL: not open */
  struct loop *loop;
  stream_ready_fn *on_ready; /* NULL: nobody waits; readiness is kept all the same */
  void *context;
  struct tally *tally;   /* the client's side: counts its wire; NULL on the target's side */
  struct buffer *unread; /* read again before the socket is; counted already. NULL mostly */
  void *layer;           /* what the kind holds above the socket; NULL for a plain one */
  int fd;
  uint8_t readiness;     /* enum stream_readiness */
  bool watches_writable; /* a write has once been short */
  uint8_t
      guarded; /* bytes of a PROXY signature that have been read so far, while it is guarded; or STREAM_GUARD_TRIPPED */
  bool is_shut; /* our side has ended: a FIN may count among what is not acknowledged */
};

/* Takes over the socket `fd` (non-blocking) and watches it (core/poller.h). `tally` outlives the stream; `readiness`:
 * what is known already (a socket that has just connected is WRITABLE). On an error (-ENOMEM, -ENOSPC) the descriptor
 * is still the caller's. */
int stream_open(struct stream *stream, struct loop *loop, int fd, struct tally *tally, uint8_t readiness);

static inline bool stream_is_open(const struct stream *stream) { return stream->ops != NULL; }

/* Bytes given back first, then the socket's. Returns a count, 0 at the end, WANT, or a negative errno. Clears
 * STREAM_READABLE when it knows that there is nothing more for now. */
ssize_t stream_read(struct stream *stream, void *bytes, size_t size);

/* May write less than asked; then, or at WANT_WRITE, STREAM_WRITABLE is cleared. Never raises SIGPIPE. */
ssize_t stream_writev(struct stream *stream, const struct iovec *parts, int count);
ssize_t stream_write(struct stream *stream, const void *bytes, size_t size);

/* Moves bytes between the socket and a pipe's end, counted like any others. Returns as stream_read() and stream_write()
 * do. Only on a plain kind, and without `unread` bytes. */
ssize_t stream_splice_in(struct stream *stream, int pipe_fd, size_t size);
ssize_t stream_splice_out(struct stream *stream, int pipe_fd, size_t size);

/* Gives bytes back in front of what comes next. 0 or -ENOMEM. */
int stream_unread(struct stream *stream, const void *bytes, size_t size);

/* What the socket has, without taking it; never counted, and `unread` is not looked at. Returns as stream_read() does.
 */
ssize_t stream_peek(struct stream *stream, void *bytes, size_t size);

/* Takes `size` bytes out of the socket, where they were seen, uncounted and unseen. 0 or a negative errno. */
int stream_skip(struct stream *stream, size_t size);

/* What reads and writes return for good once a guarded stream has met a PROXY header. */
enum { STREAM_REFUSED = -EPROTONOSUPPORT, STREAM_GUARD_TRIPPED = UINT8_MAX };

/* From now on, until the first byte that shows it is none, a PROXY header in front of what is read is an error: the
 * read that would complete its signature returns STREAM_REFUSED instead. Costs nothing afterwards. On a plain socket
 * that nothing was read from yet. */
void stream_guard(struct stream *stream);

/* Has that read been? */
static inline bool stream_is_tripped(const struct stream *stream) { return stream->guarded == STREAM_GUARD_TRIPPED; }

/* True when a read would bring something now without an event: bytes given back, or known readiness. */
static inline bool stream_may_read(const struct stream *stream) {
  return stream->unread != NULL || (stream->readiness & STREAM_READABLE) != 0;
}

/* Whether an event has told that the socket has an error (a reset, probes in vain). */
static inline bool stream_is_broken(const struct stream *stream) { return (stream->readiness & STREAM_BROKEN) != 0; }

int stream_shutdown(struct stream *stream);

/* Bytes that were written and that the peer's kernel has not acknowledged yet (SIOCOUTQ, and what the kind still
 * holds), without the FIN; 0 where unknown. */
size_t stream_unsent(const struct stream *stream);

/* Whether our side has ended and the peer's kernel has acknowledged that, and so all that was written before: nothing
 * is lost any more by closing with input unread, or by a reset (RFC 9112 section 9.6). */
bool stream_end_arrived(const struct stream *stream);

/* Ends the connection as a reset from the peer would, for both: what was not sent or read is gone, an event tells. A
 * unix socket's peer reads an end. */
void stream_break(struct stream *stream);

/* Closes the descriptor at once; with `reset` the peer gets RST, and what was not sent is dropped. Nothing on a stream
 * that is not open. The memory is the caller's, and nothing touches it any more. */
void stream_close(struct stream *stream, bool reset);

/* For kinds that see the socket's events first: brings `readiness` up to date (events of core/poller.h). Who calls it
 * calls on_ready. */
void stream_note_events(struct stream *stream, uint32_t events);

/* The plain socket kind; other kinds reach the socket, and its tally, through its functions. */
extern const struct stream_ops socket_stream_ops;
