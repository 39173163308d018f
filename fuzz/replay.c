/* SPDX-License-Identifier: MIT
 *
 * Feeds the files of a directory to a fuzz target, one after the other, without the fuzzer: `replay_x DIRECTORY`. So
 * that every input that was ever found stays a test, with any compiler. */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUT_LIMIT = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* In a block of its very size, where a sanitizer sees a read beyond. */
static uint8_t *read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  uint8_t *room = malloc(INPUT_LIMIT), *bytes = NULL;
  if (file && room) {
    *size = fread(room, 1, INPUT_LIMIT, file);
    if (!ferror(file) && *size < INPUT_LIMIT)
      bytes = malloc(*size ? *size : 1);
    if (bytes)
      memcpy(bytes, room, *size);
  }
  free(room);
  if (file)
    fclose(file);
  return bytes;
}

static bool replay(const char *directory, const char *name) {
  char path[4096];
  size_t size = 0;
  snprintf(path, sizeof path, "%s/%s", directory, name);
  printf("# %s\n", path); /* the last one said is the one that crashed */
  fflush(stdout);
  uint8_t *bytes = read_file(path, &size);
  if (!bytes) {
    fprintf(stderr, "replay: can't read %s: %s\n", path, strerror(errno));
    return false;
  }
  LLVMFuzzerTestOneInput(bytes, size);
  free(bytes);
  return true;
}

int main(int count, char **words) {
  DIR *directory = count == 2 ? opendir(words[1]) : NULL;
  if (!directory) {
    fprintf(stderr, "usage: %s DIRECTORY\n", words[0]);
    return 2;
  }
  size_t replayed = 0;
  bool fine = true;
  for (const struct dirent *entry; (entry = readdir(directory));) {
    if (entry->d_name[0] == '.')
      continue;
    fine = replay(words[1], entry->d_name) && fine;
    replayed++;
  }
  closedir(directory);
  printf("%zu inputs\n", replayed);
  return fine && replayed > 0 ? 0 : 1;
}
