/* SPDX-License-Identifier: MIT
 *
 * Addresses to names: one question for a PTR record each (RFC 1035 section 3.5), and nothing is kept of the answer. */
#include "names/resolve.h"

#include "names/resolve_answer.h"
#include "names/resolve_lookup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct resolve_reverse {
  struct resolve_channel *channel;
  struct loop *loop;
  resolve_name_fn *done; /* NULL: cancelled */
  void *context;
  int status;
  char name[RESOLVE_NAME_MAX + 1];
  bool is_over; /* c-ares has let go of it */
  struct deferred telling;
};

/* Off c-ares' stack. */
static void on_reverse_told(struct deferred *deferred) {
  struct resolve_reverse *reverse =
      (struct resolve_reverse *)(void *)((char *)deferred - offsetof(struct resolve_reverse, telling));
  if (reverse->done)
    reverse->done(reverse->context, reverse->status, reverse->name);
  free(reverse);
}

static void note_name(struct resolve_reverse *reverse, int status, const char *name) {
  reverse->status = status;
  if (status == 0 && strlen(name) > RESOLVE_NAME_MAX)
    reverse->status = -ENOENT;
  else if (status == 0)
    memcpy(reverse->name, name, strlen(name) + 1);
  reverse->is_over = true;
  loop_defer(reverse->loop, &reverse->telling);
}

static void on_ptr_answer(void *argument, int status, int late, struct hostent *host) {
  struct resolve_reverse *reverse = argument;
  if (status == ARES_EDESTRUCTION) {
    reverse->is_over = true;
    if (!reverse->done)
      free(reverse);
    return;
  }
  bool has_name = status == ARES_SUCCESS && host && host->h_name;
  resolve_channel_done(reverse->channel, has_name, late);
  note_name(reverse, has_name ? 0 : -ENOENT, has_name ? host->h_name : "");
}

struct resolve_reverse *resolve_reverse_start(struct resolver *resolver, const struct ip_address *address,
                                              resolve_name_fn *done, void *context) {
  struct resolve_reverse *reverse = calloc(1, sizeof *reverse);
  if (!reverse)
    return NULL;
  reverse->loop = resolver->loop;
  reverse->done = done;
  reverse->context = context;
  reverse->telling.run = on_reverse_told;
  if (ip_address_is_loopback(address))
    note_name(reverse, 0, "localhost");
  else if (resolve_channels_ask_address(&resolver->channels, address, on_ptr_answer, reverse, &reverse->channel) != 0)
    note_name(reverse, -ENOMEM, "");
  return reverse;
}

void resolve_reverse_cancel(struct resolve_reverse *reverse) {
  if (!reverse)
    return;
  reverse->done = NULL;
  if (!reverse->is_over)
    return;
  loop_undefer(reverse->loop, &reverse->telling);
  free(reverse);
}
