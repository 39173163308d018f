/* SPDX-License-Identifier: MIT
 *
 * The watcher. Every event that matters sets the watches anew by their paths: inotify watches what a path led to at the
 * time, and a directory that was replaced is another one. That is the look of watcher_look.c; what it sees is told
 * here. What happens beside the paths is read, and costs nothing more. */
#include "reload/watcher.h"

#include "reload/watcher_look.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
  FILES_MOST = 4096,
  UNKNOWN_MOST = 16, /* events during a look, of what it may have found to matter */
  MOUNTS_MS = 100,   /* mounts come in numbers: so long after the first of them is looked */
};

struct unknown_event {
  int number;
  bool is_directory;
  char name[NAME_MAX + 1];
};

struct watcher {
  struct loop *loop;
  struct loading *loading;
  char *directory;
  char **files;
  size_t file_count;
  watcher_changed_fn *on_changed;
  void *context;
  int fd;
  int mounts_fd; /* of the mounts of our namespace, where their changes are told; -1: nowhere */
  struct watch_roles roles;
  struct watch_places places;
  struct event *event, *mounts_event;
  struct wheel_timer timer;
  bool pending;              /* something has not been told yet … */
  clock_ms first;            /* … since then */
  struct watcher_look *look; /* the one that is under way; NULL: none */
  struct unknown_event unknown[UNKNOWN_MOST];
  size_t unknown_count;
  bool again;            /* another look has to follow … */
  bool tells;            /* … and then it is told that something has changed */
  bool is_new;           /* a path leads elsewhere: what happened there before is not known */
  bool is_short;         /* of watches: the log has it */
  struct blocking *lost; /* the thread that was lost in a look; NULL: none */
  struct wheel_timer retry, mounts;
};

static bool watcher_matters(const struct watcher *watcher, const struct inotify_event *event) {
  if (event->mask & (IN_Q_OVERFLOW | IN_IGNORED))
    return (event->mask & IN_IGNORED) == 0;
  return watch_roles_match(&watcher->roles, event->wd, event->len > 0 ? event->name : NULL, event->mask & IN_ISDIR);
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

/* The look may have found, before it is over, that what was nobody's matters. */
static void judge_unknown(struct watcher *watcher) {
  bool matters = false;
  for (size_t i = 0; i < watcher->unknown_count && !matters; i++) {
    const struct unknown_event *event = &watcher->unknown[i];
    matters =
        watch_roles_match(&watcher->roles, event->number, event->name[0] ? event->name : NULL, event->is_directory);
  }
  watcher->unknown_count = 0;
  if (matters)
    note_change(watcher);
}

static void tell_short(struct watcher *watcher, bool is_short) {
  if (is_short && !watcher->is_short)
    LOG(watcher->loading->log, LOG_WARN,
        "not all that the routes are read from is watched: changes there are taken up by moongate reload",
        LOG_STRING("directory", watcher->directory),
        LOG_STRING("error", "there is no further watch; raise fs.inotify.max_user_watches"));
  watcher->is_short = is_short;
}

static void on_watcher_looked(void *context, struct watcher_seen *seen) {
  struct watcher *watcher = context;
  watcher->look = NULL;
  watcher->is_new |= watch_places_differ(&watcher->places, &seen->places);
  watch_roles_clear(&watcher->roles);
  watch_places_clear(&watcher->places);
  watcher->roles = seen->roles;
  watcher->places = seen->places;
  seen->roles = (struct watch_roles){.count = 0};
  seen->places = (struct watch_places){.count = 0};
  judge_unknown(watcher);
  tell_short(watcher, seen->is_short);
  finish_look(watcher);
}

/* What the kernel tells of is told as before. */
static void on_watcher_look_lost(void *context, struct blocking *blocking) {
  struct watcher *watcher = context;
  watcher->look = NULL;
  watcher->unknown_count = 0;
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
  const struct watcher_paths paths = {
      .fd = watcher->fd,
      .roles = &watcher->roles,
      .directory = watcher->directory,
      .files = watcher->files,
      .file_count = watcher->file_count,
  };
  watcher->again = false;
  watcher->look = watcher_look_begin(watcher->loading, &paths, on_watcher_looked, on_watcher_look_lost, watcher);
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

static void keep_unknown(struct watcher *watcher, const struct inotify_event *event) {
  if (!watcher->look || event->mask & IN_IGNORED)
    return;
  if (watcher->unknown_count == UNKNOWN_MOST) {
    note_change(watcher);
    return;
  }
  struct unknown_event *unknown = &watcher->unknown[watcher->unknown_count++];
  unknown->number = event->wd;
  unknown->is_directory = event->mask & IN_ISDIR;
  snprintf(unknown->name, sizeof unknown->name, "%s", event->len > 0 ? event->name : "");
}

static void on_watcher_readable(evutil_socket_t fd, short what, void *argument) {
  struct watcher *watcher = argument;
  (void)what;
  _Alignas(struct inotify_event) char bytes[16 * (sizeof(struct inotify_event) + NAME_MAX + 1)];
  for (ssize_t got; (got = read(fd, bytes, sizeof bytes)) > 0;) {
    for (char *at = bytes; at < bytes + got;) {
      const struct inotify_event *event = (const struct inotify_event *)(void *)at;
      if (watcher_matters(watcher, event))
        note_change(watcher);
      else
        keep_unknown(watcher, event);
      at += sizeof *event + event->len;
    }
  }
}

/* A mount hides what a path led to, and inotify tells nobody. */
static void on_mounts_changed(evutil_socket_t fd, short what, void *argument) {
  struct watcher *watcher = argument;
  (void)fd, (void)what;
  if (!wheel_is_set(&watcher->mounts))
    loop_set_timer(watcher->loop, &watcher->mounts, MOUNTS_MS);
}

static void on_watcher_mounts(struct wheel_timer *timer) {
  look_anew((struct watcher *)(void *)((char *)timer - offsetof(struct watcher, mounts)));
}

/* Edge by edge: it can always be read. Without it mounts are not noticed. */
static void watch_mounts(struct watcher *watcher) {
  watcher->mounts_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
  if (watcher->mounts_fd < 0)
    return;
  watcher->mounts_event =
      event_new(watcher->loop->base, watcher->mounts_fd, EV_READ | EV_PERSIST | EV_ET, on_mounts_changed, watcher);
  if (watcher->mounts_event)
    event_add(watcher->mounts_event, NULL);
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
                              .mounts_fd = -1,
                              .timer = {.on_expired = on_watcher_timer},
                              .retry = {.on_expired = on_watcher_retry},
                              .mounts = {.on_expired = on_watcher_mounts}};
  watcher->directory = strdup(directory);
  if (watcher->directory)
    for (size_t end = strlen(directory); end > 1 && watcher->directory[end - 1] == '/'; end--)
      watcher->directory[end - 1] = '\0';
  if (!watcher->directory) {
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
  watch_mounts(watcher);
  look_anew(watcher);
  note_change(watcher);
  return watcher;

fail:
  watcher_free(watcher);
  return NULL;
}

static void clear_files(struct watcher *watcher) {
  for (size_t i = 0; i < watcher->file_count; i++)
    free(watcher->files[i]);
  free(watcher->files);
  watcher->files = NULL;
  watcher->file_count = 0;
}

void watcher_free(struct watcher *watcher) {
  if (!watcher)
    return;
  loop_cancel_timer(watcher->loop, &watcher->timer);
  loop_cancel_timer(watcher->loop, &watcher->retry);
  loop_cancel_timer(watcher->loop, &watcher->mounts);
  watcher_look_leave(watcher->look);
  blocking_unref(watcher->lost);
  if (watcher->event)
    event_free(watcher->event);
  if (watcher->mounts_event)
    event_free(watcher->mounts_event);
  if (watcher->mounts_fd >= 0)
    close(watcher->mounts_fd);
  if (watcher->fd >= 0)
    close(watcher->fd);
  clear_files(watcher);
  watch_roles_clear(&watcher->roles);
  watch_places_clear(&watcher->places);
  free(watcher->directory);
  free(watcher);
}

void watcher_set_files(struct watcher *watcher, const char *const *files, size_t count) {
  clear_files(watcher);
  if (count > FILES_MOST)
    count = FILES_MOST;
  watcher->files = calloc(count ? count : 1, sizeof *watcher->files);
  if (!watcher->files)
    return;
  for (size_t i = 0; i < count; i++)
    if ((watcher->files[watcher->file_count] = strdup(files[i])))
      watcher->file_count++;
  look_anew(watcher);
}
