/* SPDX-License-Identifier: MIT
 *
 * The channels of c-ares that questions go out by, on the loop of a worker. */
#pragma once

#include "core/error.h"
#include "core/list.h"
#include "core/loop.h"
#include "names/host_answer.h"
#include "net/address.h"

#include <ares.h>
#include <stdbool.h>

/* A channel of c-ares asks from one port for as long as it has questions under way; so each has only so many. */
struct resolve_channel;

struct resolve_channels {
  struct loop *loop;
  void (*on_pause)(struct resolve_channels *channels); /* c-ares is off the stack, after answers maybe */
  char *servers;                                       /* of the config; NULL: those of the files */
  int timeout_ms, tries;
  struct dns_files *files; /* a reference */
  unsigned first_server;   /* asked first, of those that there are */
  struct resolve_channel *current;
  struct list_node all; /* … and those that still wait for answers */
  struct list_node sockets;
};

/* 0, or a negative errno and `error`. `files` gets a reference. resolve_channels_deinit() in either case. */
int resolve_channels_init(struct resolve_channels *channels, struct loop *loop, const char *servers, int timeout_ms,
                          int tries, struct dns_files *files, struct error *error);

/* Questions that are under way are answered ARES_EDESTRUCTION. */
void resolve_channels_deinit(struct resolve_channels *channels);

/* The servers that are asked from now on. What is under way stays with those that it was asked of. */
void resolve_channels_set_files(struct resolve_channels *channels, struct dns_files *files);

/* Asks for a family of a name; `on_answer` may be called at once, and calls resolve_channel_done() with the channel,
 * which was written to `*channel` before. 0 or -ENOMEM, when nothing is asked. */
int resolve_channels_ask(struct resolve_channels *channels, const char *name, enum host_family family,
                         ares_addrinfo_callback on_answer, void *context, struct resolve_channel **channel);

/* The same for the name of an address. */
int resolve_channels_ask_address(struct resolve_channels *channels, const struct ip_address *address,
                                 ares_host_callback on_answer, void *context, struct resolve_channel **channel);

/* `late`: how often it took the next server's answer because one was silent. */
void resolve_channel_done(struct resolve_channel *channel, bool answered, int late);
