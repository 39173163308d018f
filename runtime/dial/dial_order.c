/* SPDX-License-Identifier: MIT
 *
 * Which of a target's addresses is tried when: the families alternate (RFC 8305, 4), beginning with that of the first
 * address, and what has failed lately comes behind all others. */
#include "dial/dial_private.h"

#include <string.h>

struct candidate {
  struct endpoint endpoint;
  bool is_last; /* for it has failed lately */
  bool is_taken;
};

/* The first that is left of those; one of the family where there is any. NULL: none is left. */
static struct candidate *candidate_find(struct candidate *all, unsigned count, bool is_last, int family) {
  struct candidate *other = NULL;
  for (unsigned i = 0; i < count; i++) {
    if (all[i].is_taken || all[i].is_last != is_last)
      continue;
    if (family == AF_UNSPEC || all[i].endpoint.storage.ss_family == family)
      return &all[i];
    other = other ? other : &all[i];
  }
  return other;
}

/* Writes those to `to` with the families in turn, each in its order. Returns how many. */
static unsigned interleave(struct candidate *all, unsigned count, bool is_last, struct endpoint *to) {
  unsigned taken = 0;
  struct candidate *next = candidate_find(all, count, is_last, AF_UNSPEC);
  for (; next; taken++) {
    next->is_taken = true;
    to[taken] = next->endpoint;
    next = candidate_find(all, count, is_last, to[taken].storage.ss_family == AF_INET6 ? AF_INET : AF_INET6);
  }
  return taken;
}

void dial_order_addresses(struct dial *dial) {
  struct failures *failures = dial->dialer->failures;
  bool are_any = failures_count(failures) > 0;
  clock_ms now = are_any ? loop_now(dial->dialer->loop) : 0;
  struct candidate all[RESOLVE_MAX_ADDRESSES];
  for (unsigned i = 0; i < dial->count; i++) {
    all[i] = (struct candidate){.endpoint = dial->addresses[i]};
    if (!are_any)
      continue;
    struct failure_key key = failures_key_of_endpoint(failures, &all[i].endpoint);
    all[i].is_last = failures_is_paused(failures, &key, now);
  }
  unsigned first = interleave(all, dial->count, false, dial->addresses);
  interleave(all, dial->count, true, dial->addresses + first);
  if (are_any && first > 0) {
    struct failure_key key = failures_key_of_endpoint(failures, &dial->addresses[0]);
    failures_claim(failures, &key, now);
  }
}

void dial_note_outcome(const struct dial *dial, int status) {
  struct failures *failures = dial->dialer->failures;
  char text[ENDPOINT_TEXT_SIZE];
  if (!failures || !failures_is_evidence(status))
    return;
  const struct endpoint *peer = &dial->addresses[dial->last];
  struct failure_key key = failures_key_of_endpoint(failures, peer);
  if (status == 0)
    failures_forget(failures, &key);
  else
    failures_note(failures, &key, endpoint_format(peer, text), status, loop_now(dial->dialer->loop));
}
