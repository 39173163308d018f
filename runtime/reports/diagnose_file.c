/* SPDX-License-Identifier: MIT
 *
 * The snapshots under `state`/diagnose: named by the time and by why they were made, so that their names sort as they
 * came; the oldest go when there are more than diagnose.keep. */
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

static struct value *diagnose_refuse(const char *path, const char *why) {
  struct value *root = value_table();
  value_set_string(root, "path", path);
  value_set_string(root, "error", why);
  return root;
}

static int open_directory(const char *state, struct error *error) {
  int above = own_directory_make(AT_FDCWD, state, error);
  if (above < 0)
    return above;
  int directory = own_directory_make(above, "diagnose", error);
  close(above);
  return directory;
}

struct value *diagnose_keep(struct instance *instance, const char *trigger, const char *text, size_t size) {
  char path[PATH_SIZE], name[NAME_SIZE];
  const struct text_piece piece = {.bytes = text, .size = size};
  if (!instance->config.state ||
      snprintf(path, sizeof path, "%s/diagnose", instance->config.state) >= (int)sizeof path - NAME_SIZE)
    return diagnose_refuse(instance->config.state, strerror(ENAMETOOLONG));
  struct error error;
  int directory = open_directory(instance->config.state, &error);
  if (directory < 0)
    return diagnose_refuse(path, error.message);
  make_dump_name(name, clock_wall(&instance->runtime->clock), trigger);
  int status = text_file_replace_own(directory, name, &piece, 1, FILE_MODE);
  if (status == 0)
    remove_oldest(directory, instance->config.diagnose.keep);
  close(directory);
  if (status != 0)
    return diagnose_refuse(path, strerror(-status));
  size_t length = strlen(path);
  snprintf(path + length, sizeof path - length, "/%s", name);
  struct value *root = value_table();
  value_set_string(root, "path", path);
  return root;
}
