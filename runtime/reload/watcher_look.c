/* SPDX-License-Identifier: MIT
 *
 * Telling inotify what to watch. The record, and the descriptor in it, are left to the thread if it does not come back.
 */
#include "reload/watcher_look.h"

#include "core/pace.h"
#include "core/text.h"
#include "loading/load.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  /* On the way to something: what is there is another. */
  WAY_EVENTS = IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF,
  EVENTS = WAY_EVENTS | IN_CLOSE_WRITE | IN_MODIFY,
  FILE_EVENTS = IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB,
  LINKS_MOST = 40,   /* one after the other, as the kernel's own bound */
  FILES_MOST = 1024, /* files that are watched themselves; of more, those that have another name */
  STRETCH = 64,      /* files between two rests */
  SUBJECT_SIZE = 512,
};

struct watcher_look {
  struct loading_job job;
  struct loader *loader;
  struct pace *pace;
  void (*on_looked)(void *context, struct watcher_seen *seen); /* NULL: nobody waits */
  void (*on_lost)(void *context, struct blocking *blocking);
  void *context;
  struct blocking *blocking; /* of the thread that does it; a reference */
  int fd;
  char *directory;
  char **files;
  size_t file_count;
  int *before; /* the numbers of the watches so far, ascending */
  size_t before_count;
  struct watcher_seen seen;
  size_t role_room, place_room, watched_files;
};

/* Along a path: `at` is a directory, or in the end what the path leads to; `rest` is left of the path. */
struct way {
  char at[PATH_MAX], rest[PATH_MAX];
  unsigned links;
};

static struct watcher_look *watcher_look_of(struct loading_job *job) {
  return (struct watcher_look *)(void *)((char *)job - offsetof(struct watcher_look, job));
}

static void watcher_seen_clear(struct watcher_seen *seen) {
  watch_roles_clear(&seen->roles);
  watch_places_clear(&seen->places);
}

static void drop_look(struct loading_job *job) {
  struct watcher_look *look = watcher_look_of(job);
  if (look->fd >= 0)
    close(look->fd);
  blocking_unref(look->blocking);
  for (size_t i = 0; i < look->file_count; i++)
    free(look->files[i]);
  free(look->files);
  free(look->before);
  free(look->directory);
  watcher_seen_clear(&look->seen);
  free(look);
}

/* Room for one more. False without memory. */
static bool grow_look(void **list, size_t count, size_t *room, size_t size) {
  if (count < *room)
    return true;
  size_t more = *room ? 2 * *room : 32;
  void *grown = realloc(*list, more * size);
  if (!grown)
    return false;
  *list = grown;
  *room = more;
  return true;
}

static void note_watch_role(struct watcher_look *look, int number, enum watch_kind kind, const char *name) {
  struct watch_roles *roles = &look->seen.roles;
  if (grow_look((void **)&roles->roles, roles->count, &look->role_room, sizeof *roles->roles))
    roles->roles[roles->count++] =
        (struct watch_role){.number = number, .kind = kind, .name = name ? watch_hash_name(name) : 0};
}

static void note_watch_place(struct watcher_look *look, const char *path, int number) {
  struct watch_places *places = &look->seen.places;
  if (grow_look((void **)&places->sums, places->count, &look->place_room, sizeof *places->sums))
    places->sums[places->count++] = text_hash(path, strlen(path), (uint64_t)number + 1);
}

/* IN_MASK_ADD, or what is watched already would lose events: the kernel empties the mask of a watch before it sets it
 * anew, and what happens meanwhile is told to nobody. */
static void add_watch(struct watcher_look *look, const char *path, uint32_t events, enum watch_kind kind,
                      const char *name) {
  int number = inotify_add_watch(look->fd, path, events | IN_MASK_ADD | (kind != WATCH_SELF ? IN_ONLYDIR : 0));
  if (number < 0) {
    look->seen.is_short |= errno == ENOSPC;
    return;
  }
  note_watch_role(look, number, kind, name);
  note_watch_place(look, path, number);
}

/* The first name of what is left of the way is taken off it. False: it is at its end. */
static bool take_name(struct way *way, char name[NAME_MAX + 1]) {
  const char *begin = way->rest + strspn(way->rest, "/");
  size_t length = strcspn(begin, "/");
  if (length == 0 || length > NAME_MAX)
    return false;
  memcpy(name, begin, length);
  name[length] = '\0';
  begin += length;
  begin += strspn(begin, "/");
  memmove(way->rest, begin, strlen(begin) + 1);
  return true;
}

/* False: it is too long. */
static bool join_name(char path[PATH_MAX], const char *directory, const char *name) {
  const char *slash = directory[strlen(directory) - 1] == '/' ? "" : "/";
  int size = snprintf(path, PATH_MAX, "%s%s%s", directory, slash, name);
  return size > 0 && size < PATH_MAX;
}

/* What the link says, then what was left: from here, or from the root. */
static bool follow_link(struct way *way, const char *target) {
  char rest[PATH_MAX];
  int size = snprintf(rest, sizeof rest, "%s/%s", target, way->rest);
  if (size < 0 || (size_t)size >= sizeof rest || ++way->links > LINKS_MOST)
    return false;
  memcpy(way->rest, rest, (size_t)size + 1);
  if (target[0] == '/')
    memcpy(way->at, "/", sizeof "/");
  return true;
}

/* Along one name. False: the way ends there, in nothing, or in more than can be followed. */
static bool step_way(struct watcher_look *look, struct way *way, const char *name, bool to_file) {
  char path[PATH_MAX], target[PATH_MAX];
  if (strcmp(name, ".") == 0)
    return true;
  if (!join_name(path, way->at, name))
    return false;
  if (strcmp(name, "..") != 0)
    add_watch(look, way->at, to_file && !way->rest[0] ? EVENTS : WAY_EVENTS, WATCH_NAME, name);
  ssize_t length = readlink(path, target, sizeof target - 1);
  if (length >= 0) {
    target[length] = '\0';
    return follow_link(way, target);
  }
  if (errno != EINVAL) /* it is there, and no link */
    return false;
  memcpy(way->at, path, sizeof path);
  return true;
}

static bool follow_way(struct watcher_look *look, struct way *way, bool to_file) {
  char name[NAME_MAX + 1];
  while (take_name(way, name))
    if (!step_way(look, way, name, to_file))
      return false;
  return true;
}

static bool way_begin(struct way *way, const char *path) {
  *way->at = '\0';
  way->links = 0;
  memcpy(way->at, path[0] == '/' ? "/" : ".", 2);
  return strlen(path) < sizeof way->rest && memcpy(way->rest, path, strlen(path) + 1);
}

/* Another name of the file, or a mount, may be what it is written by. */
static bool has_other_names(const char *path) {
  struct statx entry;
  if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_NLINK, &entry) != 0)
    return false;
  return entry.stx_nlink > 1 || (entry.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static void watch_file(struct watcher_look *look, const char *path) {
  if (look->watched_files % STRETCH == 0)
    pace_breathe(look->pace);
  if (look->watched_files++ < FILES_MOST || has_other_names(path))
    add_watch(look, path, FILE_EVENTS, WATCH_SELF, NULL);
}

/* The route files in what the way has led to. */
static void watch_directory(struct watcher_look *look, const struct way *to) {
  struct way way;
  add_watch(look, to->at, EVENTS, WATCH_FILES, NULL);
  DIR *directory = opendir(to->at);
  for (const struct dirent *entry; directory && (entry = readdir(directory));) {
    if (!route_file_is_read(entry->d_name) || strlen(entry->d_name) >= sizeof way.rest)
      continue;
    if (entry->d_type == DT_REG) {
      if (join_name(way.at, to->at, entry->d_name))
        watch_file(look, way.at);
      continue;
    }
    memcpy(way.at, to->at, sizeof way.at);
    memcpy(way.rest, entry->d_name, strlen(entry->d_name) + 1);
    way.links = 0;
    if (follow_way(look, &way, true))
      watch_file(look, way.at);
  }
  if (directory)
    closedir(directory);
}

/* Files of one directory come one after the other: the way to it is gone once. */
static void watch_files(struct watcher_look *look) {
  struct way way = {.links = 0}, directory = {.links = 0};
  const char *last = NULL;
  size_t last_length = 0;
  bool leads = false;
  for (size_t i = 0; i < look->file_count; i++) {
    const char *path = look->files[i], *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    if (length == 0 || length >= sizeof way.rest || strlen(slash + 1) > NAME_MAX)
      continue;
    if (!last || length != last_length || memcmp(last, path, length) != 0) {
      char text[PATH_MAX];
      memcpy(text, path, length);
      text[length] = '\0';
      leads = way_begin(&directory, text) && follow_way(look, &directory, false);
      last = path;
      last_length = length;
    }
    if (!leads)
      continue;
    memcpy(way.at, directory.at, sizeof way.at);
    memcpy(way.rest, slash + 1, strlen(slash + 1) + 1);
    way.links = 0;
    if (follow_way(look, &way, true))
      watch_file(look, way.at);
  }
}

static int compare_roles(const void *left, const void *right) {
  const struct watch_role *a = left, *b = right;
  return (a->number > b->number) - (a->number < b->number);
}

static int compare_sums(const void *left, const void *right) {
  const uint64_t *a = left, *b = right;
  return (*a > *b) - (*a < *b);
}

/* What is on no way any more: old releases, that go one day. */
static void remove_watches(struct watcher_look *look) {
  const struct watch_roles *roles = &look->seen.roles;
  size_t at = 0;
  for (size_t i = 0; i < look->before_count; i++) {
    while (at < roles->count && roles->roles[at].number < look->before[i])
      at++;
    if (at == roles->count || roles->roles[at].number != look->before[i])
      inotify_rm_watch(look->fd, look->before[i]);
  }
}

/* On the loader thread. */
static void run_look(struct loading_job *job) {
  struct watcher_look *look = watcher_look_of(job);
  char subject[SUBJECT_SIZE];
  struct way way;
  snprintf(subject, sizeof subject, "%s (watching it)", look->directory);
  look->pace = loader_pace(look->loader);
  struct blocking *blocking = loader_turn_from(look->loader, subject);
  look->blocking = blocking ? blocking_ref(blocking) : NULL;
  blocking_begin(look->blocking);
  if (way_begin(&way, look->directory) && follow_way(look, &way, false))
    watch_directory(look, &way);
  watch_files(look);
  struct watcher_seen *seen = &look->seen;
  if (seen->roles.count > 0)
    qsort(seen->roles.roles, seen->roles.count, sizeof *seen->roles.roles, compare_roles);
  if (seen->places.count > 0)
    qsort(seen->places.sums, seen->places.count, sizeof *seen->places.sums, compare_sums);
  remove_watches(look);
  blocking_end(look->blocking);
}

static void on_look_done(struct loading_job *job) {
  struct watcher_look *look = watcher_look_of(job);
  void (*on_looked)(void *context, struct watcher_seen *seen) = look->on_looked;
  void *context = look->context;
  struct watcher_seen seen = look->seen;
  look->seen = (struct watcher_seen){.is_short = false};
  drop_look(job);
  if (on_looked)
    on_looked(context, &seen);
  watcher_seen_clear(&seen);
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

static bool copy_paths(struct watcher_look *look, const struct watcher_paths *paths) {
  look->fd = fcntl(paths->fd, F_DUPFD_CLOEXEC, 0);
  look->directory = strdup(paths->directory);
  look->files = calloc(paths->file_count + 1, sizeof *look->files);
  look->before = calloc(paths->roles->count + 1, sizeof *look->before);
  if (look->fd < 0 || !look->directory || !look->files || !look->before)
    return false;
  for (size_t i = 0; i < paths->file_count; i++)
    if ((look->files[look->file_count] = strdup(paths->files[i])))
      look->file_count++;
  for (size_t i = 0; i < paths->roles->count; i++)
    if (look->before_count == 0 || look->before[look->before_count - 1] != paths->roles->roles[i].number)
      look->before[look->before_count++] = paths->roles->roles[i].number;
  return true;
}

struct watcher_look *watcher_look_begin(struct loading *loading, const struct watcher_paths *paths,
                                        void (*on_looked)(void *context, struct watcher_seen *seen),
                                        void (*on_lost)(void *context, struct blocking *blocking), void *context) {
  struct watcher_look *look = calloc(1, sizeof *look);
  if (!look)
    return NULL;
  if (!copy_paths(look, paths)) {
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
