/* SPDX-License-Identifier: MIT
 *
 * The watcher. Every event sets the watches anew by their paths: inotify watches what a path led to at the time, and a
 * directory that was replaced is another one. */
#include "reload/watcher.h"

#include "loading/load.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
  EVENTS = IN_CLOSE_WRITE | IN_MODIFY | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB |
           IN_DELETE_SELF | IN_MOVE_SELF,
  DIRECTORIES_MOST = 256,
  LINKS_MOST = 4096,
  LINKS_DEEP = 8, /* that lead from one to the next */
};

struct watcher {
  struct loop *loop;
  char *directory, *parent;
  char **others;
  size_t other_count;
  watcher_changed_fn *on_changed;
  void *context;
  int fd;
  int newest; /* of the watches: the kernel numbers them upwards */
  struct event *event;
  struct wheel_timer timer;
  bool pending;   /* something has not been told yet … */
  clock_ms first; /* … since then */
};

/* The directory that `path` is in, of the path as it is written: that is where a link would be replaced. */
static char *parent_of(const char *path) {
  char *copy = strdup(path);
  char *parent = copy ? strdup(dirname(copy)) : NULL;
  free(copy);
  return parent;
}

/* IN_MASK_ADD, or a directory that is watched already would lose events: the kernel empties the mask of a watch before
 * it sets it anew, and what happens meanwhile is told to nobody. True when the watch is new. */
static bool add_watch(struct watcher *watcher, const char *directory) {
  int number = inotify_add_watch(watcher->fd, directory, EVENTS | IN_ONLYDIR | IN_MASK_ADD);
  if (number <= watcher->newest)
    return false;
  watcher->newest = number;
  return true;
}

/* Watches the directories through which a link leads, which is at `path` (and is changed), to its file: that is where
 * the file is saved. `last` has the directory that was watched last, as links often lead to the same. */
static bool add_link(struct watcher *watcher, char path[PATH_MAX], char last[PATH_MAX]) {
  bool is_new = false;
  for (int i = 0; i < LINKS_DEEP; i++) {
    char target[PATH_MAX], joined[PATH_MAX];
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0)
      break;
    target[length] = '\0';
    char *slash = strrchr(path, '/');
    *slash = '\0';
    int size = target[0] == '/' ? snprintf(joined, sizeof joined, "%s", target)
                                : snprintf(joined, sizeof joined, "%s/%s", path, target);
    slash = size > 0 && (size_t)size < sizeof joined ? strrchr(joined, '/') : NULL;
    if (!slash)
      break;
    memcpy(path, joined, (size_t)size + 1);
    *slash = '\0';
    const char *directory = joined[0] ? joined : "/";
    if (strcmp(directory, last) == 0)
      continue;
    snprintf(last, PATH_MAX, "%s", directory);
    is_new |= add_watch(watcher, directory);
  }
  return is_new;
}

static bool add_links(struct watcher *watcher) {
  DIR *directory = opendir(watcher->directory);
  char path[PATH_MAX], last[PATH_MAX] = "";
  bool is_new = false;
  size_t links = 0;
  if (!directory)
    return false;
  for (struct dirent *entry; (entry = readdir(directory)) && links < LINKS_MOST;) {
    if ((entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN) || !route_file_is_read(entry->d_name))
      continue;
    links++;
    int size = snprintf(path, sizeof path, "%s/%s", watcher->directory, entry->d_name);
    if (size > 0 && (size_t)size < sizeof path)
      is_new |= add_link(watcher, path, last);
  }
  closedir(directory);
  return is_new;
}

/* True when one is new: what happened in its directory before is not known. */
static bool add_watches(struct watcher *watcher) {
  bool is_new = add_watch(watcher, watcher->parent);
  is_new |= add_watch(watcher, watcher->directory);
  for (size_t i = 0; i < watcher->other_count; i++)
    is_new |= add_watch(watcher, watcher->others[i]);
  is_new |= add_links(watcher);
  return is_new;
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

static void on_watcher_timer(struct wheel_timer *timer) {
  struct watcher *watcher = (struct watcher *)(void *)((char *)timer - offsetof(struct watcher, timer));
  watcher->pending = false;
  add_watches(watcher);
  watcher->on_changed(watcher->context);
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

struct watcher *watcher_new(struct loop *loop, const char *directory, watcher_changed_fn *on_changed, void *context,
                            struct error *error) {
  struct watcher *watcher = calloc(1, sizeof *watcher);
  if (!watcher) {
    error_set(error, ENOMEM, "no memory to watch %s", directory);
    return NULL;
  }
  *watcher = (struct watcher){
      .loop = loop, .on_changed = on_changed, .context = context, .fd = -1, .timer = {.on_expired = on_watcher_timer}};
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
  add_watches(watcher);
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
  if (add_watches(watcher))
    note_change(watcher);
}
