/* SPDX-License-Identifier: MIT
 *
 * The pool of kernel pipes. One that the kernel made smaller than usual (the user's share is used up, pipe(7)) is worse
 * than copying, and is not kept. */
#include "net/splice_pool.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The larger a pipe, the fewer calls; but a user has 64 MiB of them in all, so only one in LARGE_SHARE is large. */
enum { PIPE_SIZE = 256 * 1024, LARGE_PIPE_SIZE = 1024 * 1024, LARGE_SHARE = 16, PIPE_SIZE_LEAST = 64 * 1024 };

struct splice_pool {
  struct loop *loop;
  struct splice_pipe *free; /* the one used last comes first */
  struct list_node used;
  struct wheel_timer timer; /* set while there are pipes */
  unsigned count, limit;
  int descriptors;
};

static void pipe_destroy(struct splice_pool *pool, struct splice_pipe *pipe) {
  close(pipe->read_fd);
  close(pipe->write_fd);
  free(pipe);
  pool->count--;
}

static bool is_stale(const struct splice_pipe *pipe, clock_ms now) {
  return pipe->last_used + SPLICE_POOL_KEEP_MS <= now;
}

static bool is_empty(const struct splice_pipe *pipe) {
  int bytes = 0;
  return ioctl(pipe->read_fd, FIONREAD, &bytes) == 0 && bytes == 0;
}

/* The list is in the order of last use, so that everything behind the first stale one is stale. */
static void close_free(struct splice_pool *pool, clock_ms now) {
  struct splice_pipe **link = &pool->free;
  while (*link && !is_stale(*link, now))
    link = &(*link)->next;
  while (*link) {
    struct splice_pipe *stale = *link;
    *link = stale->next;
    pipe_destroy(pool, stale);
  }
}

static void close_quiet(struct splice_pool *pool, clock_ms now) {
  LIST_FOREACH(node, &pool->used) {
    struct splice_pipe *pipe = LIST_OWNER(node, struct splice_pipe, place);
    if (!is_stale(pipe, now) || !is_empty(pipe))
      continue;
    *pipe->owner = NULL;
    list_remove(&pipe->place);
    pipe_destroy(pool, pipe);
  }
}

static void on_timer(struct wheel_timer *timer) {
  struct splice_pool *pool = (struct splice_pool *)((char *)timer - offsetof(struct splice_pool, timer));
  clock_ms now = loop_now(pool->loop);
  close_free(pool, now);
  close_quiet(pool, now);
  if (pool->count > 0)
    loop_set_timer(pool->loop, timer, SPLICE_POOL_KEEP_MS);
}

struct splice_pool *splice_pool_new(struct loop *loop, unsigned limit, int descriptors) {
  struct splice_pool *pool = calloc(1, sizeof *pool);
  if (!pool)
    return NULL;
  pool->loop = loop;
  pool->limit = limit;
  pool->descriptors = descriptors;
  list_init(&pool->used);
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

/* One that is free, or a new one; NULL when there is none to be had. */
static struct splice_pipe *take_pipe(struct splice_pool *pool) {
  struct splice_pipe *pipe = pool->free;
  if (pipe) {
    pool->free = pipe->next;
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
  if (pool->descriptors && (ends[0] >= pool->descriptors || ends[1] >= pool->descriptors)) {
    pipe_destroy(pool, pipe);
    return NULL;
  }
  int size = pool->count <= 1 + pool->limit / LARGE_SHARE ? LARGE_PIPE_SIZE : PIPE_SIZE;
  if (fcntl(pipe->write_fd, F_SETPIPE_SZ, size) < 0 && fcntl(pipe->write_fd, F_GETPIPE_SZ) < PIPE_SIZE_LEAST) {
    pipe_destroy(pool, pipe);
    return NULL;
  }
  return pipe;
}

void splice_pool_get(struct splice_pool *pool, struct splice_pipe **owner) {
  struct splice_pipe *pipe = take_pipe(pool);
  *owner = pipe;
  if (!pipe)
    return;
  pipe->next = NULL;
  pipe->owner = owner;
  pipe->last_used = loop_now(pool->loop);
  list_add_tail(&pool->used, &pipe->place);
  if (!wheel_is_set(&pool->timer))
    loop_set_timer(pool->loop, &pool->timer, SPLICE_POOL_KEEP_MS);
}

void splice_pool_put(struct splice_pool *pool, struct splice_pipe *pipe, bool empty) {
  list_remove(&pipe->place);
  if (!empty) {
    pipe_destroy(pool, pipe);
    return;
  }
  pipe->last_used = loop_now(pool->loop);
  pipe->next = pool->free;
  pool->free = pipe;
}

unsigned splice_pool_count(const struct splice_pool *pool) { return pool->count; }
