/* SPDX-License-Identifier: MIT
 *
 * Telling inotify what to watch. The record, and the descriptor in it, are left to the thread if it does not come back.
 */
#include "reload/watcher_look.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
  EVENTS = IN_CLOSE_WRITE | IN_MODIFY | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB |
           IN_DELETE_SELF | IN_MOVE_SELF,
  LINKS_MOST = 4096,
  LINKS_DEEP = 8, /* that lead from one to the next */
  SUBJECT_SIZE = 512,
};

struct watcher_look {
  struct loading_job job;
  struct loader *loader;
  void (*on_looked)(void *context, int newest, bool is_new); /* NULL: nobody waits */
  void (*on_lost)(void *context, struct blocking *blocking);
  void *context;
  struct blocking *blocking; /* of the thread that does it; a reference */
  int fd;
  int newest;
  char *directory, *parent;
  char **others;
  size_t other_count;
  bool is_new;
};

static struct watcher_look *watcher_look_of(struct loading_job *job) {
  return (struct watcher_look *)(void *)((char *)job - offsetof(struct watcher_look, job));
}

static void drop_look(struct loading_job *job) {
  struct watcher_look *look = watcher_look_of(job);
  if (look->fd >= 0)
    close(look->fd);
  blocking_unref(look->blocking);
  for (size_t i = 0; i < look->other_count; i++)
    free(look->others[i]);
  free(look->others);
  free(look->parent);
  free(look->directory);
  free(look);
}

/* IN_MASK_ADD, or a directory that is watched already would lose events: the kernel empties the mask of a watch before
 * it sets it anew, and what happens meanwhile is told to nobody. */
static void add_watch(struct watcher_look *look, const char *directory) {
  int number = inotify_add_watch(look->fd, directory, EVENTS | IN_ONLYDIR | IN_MASK_ADD);
  if (number <= look->newest)
    return;
  look->newest = number;
  look->is_new = true; /* what happened in it before is not known */
}

/* Watches the directories through which a link leads, which is at `path` (and is changed), to its file: that is where
 * the file is saved. `last` has the directory that was watched last, as links often lead to the same. */
static void add_link(struct watcher_look *look, char path[PATH_MAX], char last[PATH_MAX]) {
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
    add_watch(look, directory);
  }
}

static void add_links(struct watcher_look *look) {
  DIR *directory = opendir(look->directory);
  char path[PATH_MAX], last[PATH_MAX] = "";
  size_t links = 0;
  if (!directory)
    return;
  for (struct dirent *entry; (entry = readdir(directory)) && links < LINKS_MOST;) {
    if ((entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN) || !route_file_is_read(entry->d_name))
      continue;
    links++;
    int size = snprintf(path, sizeof path, "%s/%s", look->directory, entry->d_name);
    if (size > 0 && (size_t)size < sizeof path)
      add_link(look, path, last);
  }
  closedir(directory);
}

/* On the loader thread. */
static void run_look(struct loading_job *job) {
  struct watcher_look *look = watcher_look_of(job);
  char subject[SUBJECT_SIZE];
  snprintf(subject, sizeof subject, "%s (watching it)", look->directory);
  struct blocking *blocking = loader_turn_from(look->loader, subject);
  look->blocking = blocking ? blocking_ref(blocking) : NULL;
  blocking_begin(look->blocking);
  add_watch(look, look->parent);
  add_watch(look, look->directory);
  for (size_t i = 0; i < look->other_count; i++)
    add_watch(look, look->others[i]);
  add_links(look);
  blocking_end(look->blocking);
}

static void on_look_done(struct loading_job *job) {
  const struct watcher_look done = *watcher_look_of(job);
  drop_look(job);
  if (done.on_looked)
    done.on_looked(done.context, done.newest, done.is_new);
}

static void on_look_lost(struct loading_job *job, enum loader_loss loss, const char *message) {
  const struct watcher_look *look = watcher_look_of(job);
  (void)loss, (void)message;
  if (look->on_looked)
    look->on_lost(look->context, look->blocking);
}

/* It waits until a thread comes back: nothing that has changed could be loaded before. */
static bool on_look_refused(struct loading_job *job, const char *message) {
  (void)job, (void)message;
  return false;
}

static bool copy_places(struct watcher_look *look, const struct watcher_places *places) {
  look->fd = fcntl(places->fd, F_DUPFD_CLOEXEC, 0);
  look->newest = places->newest;
  look->directory = strdup(places->directory);
  look->parent = strdup(places->parent);
  look->others = calloc(places->other_count + 1, sizeof *look->others);
  if (look->fd < 0 || !look->directory || !look->parent || !look->others)
    return false;
  for (size_t i = 0; i < places->other_count; i++)
    if ((look->others[look->other_count] = strdup(places->others[i])))
      look->other_count++;
  return true;
}

struct watcher_look *watcher_look_begin(struct loading *loading, const struct watcher_places *places,
                                        void (*on_looked)(void *context, int newest, bool is_new),
                                        void (*on_lost)(void *context, struct blocking *blocking), void *context) {
  struct watcher_look *look = calloc(1, sizeof *look);
  if (!look)
    return NULL;
  if (!copy_places(look, places)) {
    drop_look(&look->job);
    return NULL;
  }
  look->job = (struct loading_job){.run = run_look,
                                   .on_done = on_look_done,
                                   .on_lost = on_look_lost,
                                   .on_refused = on_look_refused,
                                   .drop = drop_look};
  look->loader = loading->loader;
  look->on_looked = on_looked;
  look->on_lost = on_lost;
  look->context = context;
  loading_post(loading, &look->job);
  return look;
}

void watcher_look_leave(struct watcher_look *look) {
  if (look)
    look->on_looked = NULL;
}
