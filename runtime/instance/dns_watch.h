/* SPDX-License-Identifier: MIT
 *
 * Whether resolv.conf and the hosts file have changed: the loader thread looks every two seconds, for a disk may not
 * answer, and they may be links, bind mounts or files that are written in place. Lives on the control thread. */
#pragma once

#include "core/loop.h"

struct blocking;
struct dns_look;
struct instance;

struct dns_watch {
  struct instance *instance; /* NULL: it has been stopped */
  struct wheel_timer timer;
  struct dns_look *look; /* under way */
  struct blocking *lost; /* the thread that was lost in the last one; a reference. NULL: none */
};

/* Once there are workers. */
void dns_watch_start(struct instance *instance);

/* Before the loader is stopped. Nothing when zeroed. */
void dns_watch_stop(struct dns_watch *watch);
