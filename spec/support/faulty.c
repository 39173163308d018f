/* SPDX-License-Identifier: MIT
 *
 * Does what a sanitizer, or an assertion, is there to find, so that it can be seen that it is found.
 *
 *   faulty assert|beyond|leak|overflow|race [child]
 *
 * With `child` a process of its own does it, and nobody looks at how that ends: this one ends with 0. */
#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int shared; /* by threads that do not agree on whose turn it is */

static void *count(void *argument) {
  for (int i = 0; i < 100000; i++)
    shared++;
  return argument;
}

static void race(void) {
  pthread_t other;
  if (pthread_create(&other, NULL, count, NULL) != 0)
    abort();
  count(NULL);
  pthread_join(other, NULL);
}

/* A byte behind a block. */
static int read_beyond(void) {
  volatile int size = 16;
  unsigned char *block = calloc(1, (size_t)size);
  if (!block)
    abort();
  int byte = block[size];
  free(block);
  return byte;
}

static void leak(void) {
  static void *volatile kept;
  kept = malloc(4096);
  if (kept)
    kept = NULL;
}

static void do_it(const char *what) {
  volatile int most = INT_MAX;
  assert(strcmp(what, "assert") != 0);
  if (strcmp(what, "beyond") == 0)
    printf("%d\n", read_beyond());
  else if (strcmp(what, "leak") == 0)
    leak();
  else if (strcmp(what, "overflow") == 0)
    printf("%d\n", most + 1);
  else if (strcmp(what, "race") == 0)
    race();
}

int main(int argc, char **argv) {
  if (argc < 2)
    return 2;
  if (argc > 2) {
    pid_t child = fork();
    if (child > 0) {
      waitpid(child, NULL, 0);
      return 0;
    }
  }
  do_it(argv[1]);
  return 0;
}
