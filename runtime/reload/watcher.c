/* SPDX-License-Identifier: MIT
 *
 * The watcher. Every event sets the watches anew by their paths: inotify watches what a path led to at the time, and a
 * directory that was replaced is another one. That is the look of watcher_look.c; what it sees is told here. */
#include "reload/watcher.h"

#include "loading/load.h"
#include "reload/watcher_look.h"

#include <errno.h>
#include <event2/event.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { DIRECTORIES_MOST = 256 };

struct watcher {
  struct loop *loop;
  struct loading *loading;
  char *directory, *parent;
  char **others;
  size_t other_count;
  watcher_changed_fn *on_changed;
  void *context;
  int fd;
  int newest; /* of the watches: the kernel numbers them upwards */
  struct event *event;
  struct wheel_timer timer;
  bool pending;              /* something has not been told yet … */
  clock_ms first;            /* … since then */
  struct watcher_look *look; /* the one that is under way; NULL: none */
  bool again;                /* another one has to follow … */
  bool tells;                /* … and then it is told that something has changed */
  bool is_new;               /* a directory is watched that was not: what happened there before is not known */
  struct blocking *lost;     /* the thread that was lost in a look; NULL: none */
  struct wheel_timer retry;
};

/* The directory that `path` is in, of the path as it is written: that is where a link would be replaced. */
static char *parent_of(const char *path) {
  char *copy = strdup(path);
  char *parent = copy ? strdup(dirname(copy)) : NULL;
  free(copy);
  return parent;
}

/* Whether a name can matter: a Lua file, the directory (or a link to it) itself, or an overflow, when names were lost.
 */
static bool matters(const struct watcher *watcher, const struct inotify_event *event) {
  if (event->mask & (IN_Q_OVERFLOW | IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED) || event->len == 0)
    return (event->mask & IN_IGNORED) == 0;
  if (route_file_is_read(event->name))
    return true;
  const char *base = strrchr(watcher->directory, '/');
  return event->mask & IN_ISDIR || strcmp(event->name, base ? base + 1 : watcher->directory) == 0 ||
         strncmp(event->name, "..data", 6) == 0;
}

static void note_change(struct watcher *watcher);

static void tell_change(struct watcher *watcher) {
  watcher->tells = watcher->is_new = false;
  watcher->on_changed(watcher->context);
}

static bool begin_look(struct watcher *watcher);

/* What has changed is told once the watches are set for what comes next. */
static void finish_look(struct watcher *watcher) {
  if (watcher->again && begin_look(watcher))
    return;
  watcher->again = false;
  if (watcher->tells)
    tell_change(watcher);
  else if (watcher->is_new)
    note_change(watcher);
  watcher->is_new = false;
}

static void on_watcher_looked(void *context, int newest, bool is_new) {
  struct watcher *watcher = context;
  watcher->look = NULL;
  watcher->newest = newest;
  watcher->is_new |= is_new;
  finish_look(watcher);
}

/* What the kernel tells of is told as before. */
static void on_watcher_look_lost(void *context, struct blocking *blocking) {
  struct watcher *watcher = context;
  watcher->look = NULL;
  blocking_unref(watcher->lost);
  watcher->lost = blocking_ref(blocking);
  loop_set_timer(watcher->loop, &watcher->retry, WATCHER_RETRY_MS);
  finish_look(watcher);
}

static void on_watcher_retry(struct wheel_timer *timer) {
  struct watcher *watcher = (struct watcher *)(void *)((char *)timer - offsetof(struct watcher, retry));
  if (blocking_is_lost(watcher->lost))
    loop_set_timer(watcher->loop, timer, WATCHER_RETRY_MS);
  else
    note_change(watcher);
}

/* False: there can't be one now, for want of memory or of an answer to the last. */
static bool begin_look(struct watcher *watcher) {
  if (watcher->lost && blocking_is_lost(watcher->lost))
    return false;
  const struct watcher_places places = {
      .fd = watcher->fd,
      .newest = watcher->newest,
      .directory = watcher->directory,
      .parent = watcher->parent,
      .others = watcher->others,
      .other_count = watcher->other_count,
  };
  watcher->again = false;
  watcher->look = watcher_look_begin(watcher->loading, &places, on_watcher_looked, on_watcher_look_lost, watcher);
  return watcher->look != NULL;
}

/* Now, or after the one that is under way, which may have passed by what is new. */
static void look_anew(struct watcher *watcher) {
  watcher->again = true;
  if (!watcher->look)
    finish_look(watcher);
}

static void on_watcher_timer(struct wheel_timer *timer) {
  struct watcher *watcher = (struct watcher *)(void *)((char *)timer - offsetof(struct watcher, timer));
  watcher->pending = false;
  watcher->tells = true;
  look_anew(watcher);
}

static void note_change(struct watcher *watcher) {
  clock_ms now = clock_now(watcher->loop->clock);
  if (!watcher->pending)
    watcher->first = now;
  watcher->pending = true;
  uint64_t left = watcher->first + WATCHER_LONGEST_MS > now ? watcher->first + WATCHER_LONGEST_MS - now : 0;
  loop_set_timer(watcher->loop, &watcher->timer, left < WATCHER_QUIET_MS ? left : WATCHER_QUIET_MS);
}

static void on_watcher_readable(evutil_socket_t fd, short what, void *argument) {
  struct watcher *watcher = argument;
  (void)what;
  _Alignas(struct inotify_event) char bytes[16 * (sizeof(struct inotify_event) + NAME_MAX + 1)];
  for (ssize_t got; (got = read(fd, bytes, sizeof bytes)) > 0;) {
    for (char *at = bytes; at < bytes + got;) {
      const struct inotify_event *event = (const struct inotify_event *)(void *)at;
      if (matters(watcher, event))
        note_change(watcher);
      at += sizeof *event + event->len;
    }
  }
}

struct watcher *watcher_new(struct loop *loop, struct loading *loading, const char *directory,
                            watcher_changed_fn *on_changed, void *context, struct error *error) {
  struct watcher *watcher = calloc(1, sizeof *watcher);
  if (!watcher) {
    error_set(error, ENOMEM, "no memory to watch %s", directory);
    return NULL;
  }
  *watcher = (struct watcher){.loop = loop,
                              .loading = loading,
                              .on_changed = on_changed,
                              .context = context,
                              .fd = -1,
                              .timer = {.on_expired = on_watcher_timer},
                              .retry = {.on_expired = on_watcher_retry}};
  watcher->directory = strdup(directory);
  if (watcher->directory)
    for (size_t end = strlen(directory); end > 1 && watcher->directory[end - 1] == '/'; end--)
      watcher->directory[end - 1] = '\0';
  watcher->parent = watcher->directory ? parent_of(watcher->directory) : NULL;
  if (!watcher->parent) {
    error_set(error, ENOMEM, "no memory to watch %s", directory);
    goto fail;
  }
  watcher->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (watcher->fd < 0) {
    error_set(error, errno,
              "changes of %s can't be watched: %s (fs.inotify.max_user_instances); save, then send SIGHUP", directory,
              strerror(errno));
    goto fail;
  }
  watcher->event = event_new(loop->base, watcher->fd, EV_READ | EV_PERSIST, on_watcher_readable, watcher);
  if (!watcher->event || event_add(watcher->event, NULL) != 0) {
    error_set(error, ENOMEM, "no memory to watch %s", directory);
    goto fail;
  }
  look_anew(watcher);
  note_change(watcher);
  return watcher;

fail:
  watcher_free(watcher);
  return NULL;
}

static void clear_others(struct watcher *watcher) {
  for (size_t i = 0; i < watcher->other_count; i++)
    free(watcher->others[i]);
  free(watcher->others);
  watcher->others = NULL;
  watcher->other_count = 0;
}

void watcher_free(struct watcher *watcher) {
  if (!watcher)
    return;
  loop_cancel_timer(watcher->loop, &watcher->timer);
  loop_cancel_timer(watcher->loop, &watcher->retry);
  watcher_look_leave(watcher->look);
  blocking_unref(watcher->lost);
  if (watcher->event)
    event_free(watcher->event);
  if (watcher->fd >= 0)
    close(watcher->fd);
  clear_others(watcher);
  free(watcher->parent);
  free(watcher->directory);
  free(watcher);
}

void watcher_set_others(struct watcher *watcher, const char *const *directories, size_t count) {
  clear_others(watcher);
  if (count > DIRECTORIES_MOST)
    count = DIRECTORIES_MOST;
  watcher->others = calloc(count ? count : 1, sizeof *watcher->others);
  if (!watcher->others)
    return;
  for (size_t i = 0; i < count; i++)
    if ((watcher->others[watcher->other_count] = strdup(directories[i])))
      watcher->other_count++;
  look_anew(watcher);
}
