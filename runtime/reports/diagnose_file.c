/* SPDX-License-Identifier: MIT
 *
 * The snapshots under `state`/diagnose: named by the time and by why they were made, so that their names sort as they
 * came; the oldest go when there are more than diagnose.keep. The loader thread writes them, for a disk may not answer.
 */
#include "core/own_file.h"
#include "core/text_file.h"
#include "instance/instance.h"
#include "instance/runtime.h"
#include "reports/diagnose.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, NAME_SIZE = 96, FILE_MODE = 0600 };

/* Ours: nothing else in the directory is touched. */
static int is_snapshot(const struct dirent *entry) {
  size_t length = strlen(entry->d_name);
  return length > 5 && isdigit((unsigned char)entry->d_name[0]) && strcmp(entry->d_name + length - 5, ".json") == 0;
}

static void remove_oldest(int directory, unsigned keep) {
  struct dirent **entries;
  int count = scandirat(directory, ".", &entries, is_snapshot, alphasort);
  for (int i = 0; i < count; i++) {
    if (i + (int)keep < count)
      unlinkat(directory, entries[i]->d_name, 0);
    free(entries[i]);
  }
  if (count >= 0)
    free(entries);
}

/* "20261121T130000.123Z-signal.json" */
static void make_dump_name(char name[NAME_SIZE], double wall, const char *trigger) {
  time_t seconds = (time_t)wall;
  struct tm utc = {0};
  char text[32];
  gmtime_r(&seconds, &utc);
  strftime(text, sizeof text, "%Y%m%dT%H%M%S", &utc);
  snprintf(name, NAME_SIZE, "%s.%03dZ-%.32s.json", text, (int)((wall - (double)seconds) * 1000), trigger);
}

/* One on its way to the disk; the loader thread's while that works on it. */
struct snapshot_file {
  struct loading_job job;
  struct list_node node;     /* in diagnose->waiting, while somebody waits */
  struct diagnose *diagnose; /* the control thread's, like the next */
  struct native_call *call;  /* NULL: it has been answered */
  struct loader *loader;
  struct blocking *blocking; /* of the thread that does it; a reference */
  char *state, *text;
  size_t size;
  unsigned keep;
  struct error error; /* its code 0: it is there */
  char path[PATH_SIZE], name[NAME_SIZE];
};

static struct snapshot_file *snapshot_file_of(struct loading_job *job) {
  return (struct snapshot_file *)(void *)((char *)job - offsetof(struct snapshot_file, job));
}

static void snapshot_file_drop(struct loading_job *job) {
  struct snapshot_file *snapshot = snapshot_file_of(job);
  blocking_unref(snapshot->blocking);
  free(snapshot->state);
  free(snapshot->text);
  free(snapshot);
}

/* `why` NULL: it is at `path`. */
static void answer_kept(struct native_call *call, const char *path, const char *why) {
  struct value *root = value_table();
  value_set_string(root, "path", path);
  value_set_string(root, "error", why);
  native_call_answer(call, root);
}

static void snapshot_file_answer(struct snapshot_file *snapshot, const char *path, const char *why) {
  struct native_call *call = snapshot->call;
  if (!call)
    return;
  list_remove(&snapshot->node);
  snapshot->call = NULL;
  answer_kept(call, path, why);
}

static int open_directory(const char *state, struct error *error) {
  int above = own_directory_make(AT_FDCWD, state, error);
  if (above < 0)
    return above;
  int directory = own_directory_make(above, "diagnose", error);
  close(above);
  return directory;
}

/* On the loader thread. */
static void run_snapshot_file(struct loading_job *job) {
  struct snapshot_file *snapshot = snapshot_file_of(job);
  const struct text_piece piece = {.bytes = snapshot->text, .size = snapshot->size};
  struct blocking *blocking = loader_turn_from(snapshot->loader, snapshot->path);
  snapshot->blocking = blocking ? blocking_ref(blocking) : NULL;
  blocking_begin(snapshot->blocking);
  int directory = open_directory(snapshot->state, &snapshot->error);
  if (directory >= 0) {
    int status = text_file_replace_own(directory, snapshot->name, &piece, 1, FILE_MODE, NULL);
    if (status == 0)
      remove_oldest(directory, snapshot->keep);
    else
      error_set(&snapshot->error, -status, "%s", strerror(-status));
    close(directory);
  }
  blocking_end(snapshot->blocking);
}

static void on_kept(struct loading_job *job) {
  struct snapshot_file *snapshot = snapshot_file_of(job);
  if (snapshot->error.code != 0) {
    snapshot_file_answer(snapshot, snapshot->path, snapshot->error.message);
  } else {
    size_t length = strlen(snapshot->path);
    snprintf(snapshot->path + length, sizeof snapshot->path - length, "/%s", snapshot->name);
    snapshot_file_answer(snapshot, snapshot->path, NULL);
  }
  snapshot_file_drop(job);
}

static const char SILENT[] = "the disk does not answer (limits.load_time)";

static void on_keep_lost(struct loading_job *job, enum loader_loss loss, const char *message) {
  struct snapshot_file *snapshot = snapshot_file_of(job);
  (void)loss, (void)message;
  if (!snapshot->call)
    return;
  blocking_unref(snapshot->diagnose->keep_lost);
  snapshot->diagnose->keep_lost = blocking_ref(snapshot->blocking);
  snapshot_file_answer(snapshot, snapshot->path, SILENT);
}

static bool on_keep_refused(struct loading_job *job, const char *message) {
  struct snapshot_file *snapshot = snapshot_file_of(job);
  snapshot_file_answer(snapshot, snapshot->path, message);
  snapshot_file_drop(job);
  return true;
}

static struct snapshot_file *snapshot_file_new(struct instance *instance, const char *text, size_t size) {
  struct snapshot_file *snapshot = calloc(1, sizeof *snapshot);
  if (!snapshot || !(snapshot->state = strdup(instance->config.state)) || !(snapshot->text = malloc(size + 1))) {
    if (snapshot)
      snapshot_file_drop(&snapshot->job);
    return NULL;
  }
  snapshot->job = (struct loading_job){.run = run_snapshot_file,
                                       .on_done = on_kept,
                                       .on_lost = on_keep_lost,
                                       .on_refused = on_keep_refused,
                                       .drop = snapshot_file_drop};
  memcpy(snapshot->text, text, size);
  snapshot->size = size;
  snapshot->diagnose = instance->diagnose;
  snapshot->loader = instance->loader;
  snapshot->keep = instance->config.diagnose.keep;
  return snapshot;
}

void diagnose_keep(struct instance *instance, const char *trigger, const char *text, size_t size,
                   struct native_call *call) {
  struct diagnose *diagnose = instance->diagnose;
  char path[PATH_SIZE];
  if (!diagnose->instance || diagnose->stopped) {
    answer_kept(call, NULL, "moongate is stopping");
    return;
  }
  if (!instance->config.state ||
      snprintf(path, sizeof path, "%s/diagnose", instance->config.state) >= (int)sizeof path - NAME_SIZE) {
    answer_kept(call, instance->config.state, strerror(ENAMETOOLONG));
    return;
  }
  bool is_lost = diagnose->keep_lost && blocking_is_lost(diagnose->keep_lost);
  struct snapshot_file *snapshot = is_lost ? NULL : snapshot_file_new(instance, text, size);
  if (!snapshot) {
    answer_kept(call, path, is_lost ? SILENT : strerror(ENOMEM));
    return;
  }
  snapshot->call = call;
  memcpy(snapshot->path, path, sizeof snapshot->path);
  make_dump_name(snapshot->name, clock_wall(&instance->runtime->clock), trigger);
  list_add_tail(&diagnose->waiting, &snapshot->node);
  loading_post(&instance->loading, &snapshot->job);
}

void diagnose_stop(struct diagnose *diagnose) {
  if (!diagnose->instance || diagnose->stopped)
    return;
  diagnose->stopped = true;
  diagnose->instance->runtime->to_diagnose = false;
  LIST_FOREACH(node, &diagnose->waiting) {
    snapshot_file_answer(LIST_OWNER(node, struct snapshot_file, node), NULL, "moongate is stopping");
  }
}
