/* SPDX-License-Identifier: MIT
 *
 * The pool of kernel pipes. One that the kernel made smaller than usual (the user's share is used up, pipe(7)) is worse
 * than copying, and is not kept. */
#include "net/splice_pool.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

/* The larger a pipe, the fewer calls; but a user has 64 MiB of them in all, so only one in LARGE_SHARE is large. */
enum { PIPE_SIZE = 256 * 1024, LARGE_PIPE_SIZE = 1024 * 1024, LARGE_SHARE = 16, PIPE_SIZE_LEAST = 64 * 1024 };

struct splice_pool {
  struct loop *loop;
  struct splice_pipe *free; /* the one used last comes first */
  struct wheel_timer timer; /* set while `free` is not empty */
  unsigned count, limit;
};

static void pipe_destroy(struct splice_pool *pool, struct splice_pipe *pipe) {
  close(pipe->read_fd);
  close(pipe->write_fd);
  free(pipe);
  pool->count--;
}

/* The list is in the order of last use, so that everything behind the first stale one is stale. */
static void on_timer(struct wheel_timer *timer) {
  struct splice_pool *pool = (struct splice_pool *)((char *)timer - offsetof(struct splice_pool, timer));
  clock_ms now = loop_now(pool->loop);
  struct splice_pipe **link = &pool->free;
  while (*link && (*link)->last_used + SPLICE_POOL_KEEP_MS > now)
    link = &(*link)->next;
  while (*link) {
    struct splice_pipe *stale = *link;
    *link = stale->next;
    pipe_destroy(pool, stale);
  }
  if (pool->free)
    loop_set_timer(pool->loop, timer, SPLICE_POOL_KEEP_MS);
}

struct splice_pool *splice_pool_new(struct loop *loop, unsigned limit) {
  struct splice_pool *pool = calloc(1, sizeof *pool);
  if (!pool)
    return NULL;
  pool->loop = loop;
  pool->limit = limit;
  pool->timer.on_expired = on_timer;
  return pool;
}

void splice_pool_free(struct splice_pool *pool) {
  if (!pool)
    return;
  loop_cancel_timer(pool->loop, &pool->timer);
  while (pool->free) {
    struct splice_pipe *pipe = pool->free;
    pool->free = pipe->next;
    pipe_destroy(pool, pipe);
  }
  free(pool);
}

struct splice_pipe *splice_pool_get(struct splice_pool *pool) {
  struct splice_pipe *pipe = pool->free;
  if (pipe) {
    pool->free = pipe->next;
    pipe->next = NULL;
    return pipe;
  }
  if (pool->count >= pool->limit)
    return NULL;
  pipe = calloc(1, sizeof *pipe);
  if (!pipe)
    return NULL;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
    free(pipe);
    return NULL;
  }
  *pipe = (struct splice_pipe){.read_fd = ends[0], .write_fd = ends[1]};
  pool->count++;
  int size = pool->count <= 1 + pool->limit / LARGE_SHARE ? LARGE_PIPE_SIZE : PIPE_SIZE;
  if (fcntl(pipe->write_fd, F_SETPIPE_SZ, size) < 0 && fcntl(pipe->write_fd, F_GETPIPE_SZ) < PIPE_SIZE_LEAST) {
    pipe_destroy(pool, pipe);
    return NULL;
  }
  return pipe;
}

void splice_pool_put(struct splice_pool *pool, struct splice_pipe *pipe, bool empty) {
  if (!empty) {
    pipe_destroy(pool, pipe);
    return;
  }
  pipe->last_used = loop_now(pool->loop);
  pipe->next = pool->free;
  pool->free = pipe;
  if (!wheel_is_set(&pool->timer))
    loop_set_timer(pool->loop, &pool->timer, SPLICE_POOL_KEEP_MS);
}

unsigned splice_pool_count(const struct splice_pool *pool) { return pool->count; }
