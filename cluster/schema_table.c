/* SPDX-License-Identifier: Apache-2.0 */
/* The tables: every type of object and every parameter. What they mean to the rest is in schema.h. */
#include "cluster/schema.h"

#include <stddef.h>

#define LIVE PARAM_LIVE
#define CREATE PARAM_CREATE
#define OBS PARAM_OBSERVED
#define MACHINE PARAM_MACHINE

#define COMMENT { .name = "comment", .type = VALUE_STRING, .flags = LIVE, .max = 255, \
	.help = "Free text for people" }
#define KEY_BOX { .name = "key-box", .type = VALUE_STRING, .flags = LIVE, .max = 1024, \
	.help = "The newest cluster key, sealed so that only this node can open it" }
#define APPLIED { .name = "applied", .type = VALUE_UINT, .flags = OBS, \
	.help = "Log index up to which the node has carried out what is desired" }
#define ERROR { .name = "error", .type = VALUE_STRING, .flags = OBS, \
	.help = "Why the node could not do what is desired" }

static const struct schema_param cluster_params[] = {
	{ .name = "name", .type = VALUE_STRING, .flags = LIVE, .value = "director", .min = 1, .max = 63,
	  .help = "Name of the cluster, for people" },
	{ .name = "lineage", .type = VALUE_UUID, .flags = CREATE,
	  .help = "Identity of the cluster since its founding; members of two lineages never mix" },
	{ .name = "auto-adopt", .type = VALUE_BOOL, .flags = LIVE, .value = "no",
	  .help = "Adopt every node that asks; only for a storage network that is trusted" },
	{ .name = "portal", .type = VALUE_PORTAL, .flags = LIVE, .value = "[::]:3260",
	  .help = "Portal that a new target gets when none is named" },
	{ .name = "key-epoch", .type = VALUE_UINT, .flags = LIVE, .max = UINT32_MAX,
	  .help = "Number of the newest cluster key" },
	{ .name = "level", .type = VALUE_UINT, .flags = LIVE | PARAM_GROWS, .value = "1", .min = 1, .max = 1000000,
	  .help = "Schema level; raised when every member runs a version that knows it" },
	{ .name = "power", .type = VALUE_UINT, .flags = MACHINE, .since = 3,
	  .help = "How often all nodes have lost power" },
	{ .name = "lives", .type = VALUE_STRING, .flags = MACHINE, .max = 1023, .since = 3,
	  .help = "The starts of machines that have been seen since then" },
	COMMENT,
	{ .name = NULL },
};

static const struct schema_param node_params[] = {
	{ .name = "id", .type = VALUE_HEX, .flags = PARAM_REQUIRED | CREATE | PARAM_UNIQUE, .max = 16,
	  .help = "Identity: the hash of the node's public key" },
	{ .name = "key", .type = VALUE_HEX, .flags = CREATE | PARAM_UNIQUE, .max = 32,
	  .help = "The node's public key" },
	{ .name = "portal-group", .type = VALUE_UINT, .flags = CREATE | PARAM_UNIQUE, .min = 1, .max = 65535,
	  .help = "The portal group tag of its portals, in all targets; given when it is admitted" },
	{ .name = "role", .type = VALUE_ENUM, .flags = LIVE, .value = "member", .choices = "member witness",
	  .help = "A witness votes but holds no volumes" },
	{ .name = "drain", .type = VALUE_BOOL, .flags = LIVE, .value = "no",
	  .help = "Place nothing new here and move away what can be moved" },
	KEY_BOX,
	{ .name = "fence", .type = VALUE_WORD, .flags = LIVE, .since = 2,
	  .help = "Plugin that switches the node off when it does not answer, so that its volumes need not wait for its lease; some node "
	          "must have it, and the status names those that do not" },
	{ .name = "fence-options", .type = VALUE_STRING, .flags = LIVE | PARAM_SECRET, .needs = "fence", .min = 3, .max = 1024, .since = 2,
	  .help = "What that plugin needs: KEY=VALUE, separated by spaces" },
	COMMENT,
	{ .name = "state", .type = VALUE_ENUM, .flags = OBS, .choices = "alive suspect dead left pending",
	  .help = "What the members make of it" },
	{ .name = "version", .type = VALUE_STRING, .flags = OBS, .help = "Version of directord" },
	{ .name = "schema-level", .type = VALUE_UINT, .flags = OBS, .help = "Newest schema level it knows" },
	{ .name = "host-name", .type = VALUE_STRING, .flags = OBS, .help = "What the machine calls itself, where that differs" },
	{ .name = "addresses", .type = VALUE_STRING, .flags = OBS, .help = "Its addresses, separated by spaces" },
	{ .name = "space-total", .type = VALUE_SIZE, .flags = OBS, .unit = "bytes",
	  .help = "Size of the file system that holds file volumes" },
	{ .name = "space-free", .type = VALUE_SIZE, .flags = OBS, .unit = "bytes", .help = "What is free of it" },
	{ .name = "memory-total", .type = VALUE_SIZE, .flags = OBS, .unit = "bytes", .help = "Main memory" },
	{ .name = "memory-free", .type = VALUE_SIZE, .flags = OBS, .unit = "bytes", .help = "Main memory available" },
	{ .name = "load", .type = VALUE_UINT, .flags = OBS, .unit = "percent",
	  .help = "How busy its processors were, on the average of a quarter of an hour" },
	{ .name = "refused", .type = VALUE_UINT, .flags = OBS,
	  .help = "Datagrams and connections refused since its directord started: wrong key, forged, replayed, malformed, removed, of another version or cluster" },
	{ .name = "refused-last", .type = VALUE_STRING, .flags = OBS, .help = "Where the last refused datagram came from" },
	{ .name = "quorate", .type = VALUE_BOOL, .flags = OBS, .help = "Does it see a majority of the voters?" },
	{ .name = "voter", .type = VALUE_BOOL, .flags = OBS, .help = "Is it one of the voters?" },
	{ .name = "target", .type = VALUE_ENUM, .flags = OBS, .choices = "running stopped", .help = "Its director-target" },
	{ .name = "drained", .type = VALUE_ENUM, .flags = OBS, .choices = "no partly yes", .since = 2,
	  .help = "Whether all is moved away from a node that is drained; partly: what is left has no other place" },
	{ .name = "drain-left", .type = VALUE_STRING, .flags = OBS, .since = 2, .help = "What is still there" },
	{ .name = NULL },
};

static const struct schema_param device_params[] = {
	{ .name = "path", .type = VALUE_PATH, .flags = OBS, .help = "Where to open it" },
	{ .name = "kind", .type = VALUE_STRING, .flags = OBS, .help = "disk, partition, lvm, file, loop and so on" },
	{ .name = "size", .type = VALUE_SIZE, .flags = OBS, .unit = "bytes", .help = "Its size" },
	{ .name = "block-size", .type = VALUE_UINT, .flags = OBS, .unit = "bytes", .help = "Its logical block" },
	{ .name = "rotational", .type = VALUE_BOOL, .flags = OBS, .help = "Does it turn?" },
	{ .name = "read-only", .type = VALUE_BOOL, .flags = OBS, .help = "Can it not be written?" },
	{ .name = "removable", .type = VALUE_BOOL, .flags = OBS, .help = "Can it be taken out?" },
	{ .name = "model", .type = VALUE_STRING, .flags = OBS, .help = "Maker and model" },
	{ .name = "serial", .type = VALUE_STRING, .flags = OBS, .help = "Serial number" },
	{ .name = "wwn", .type = VALUE_STRING, .flags = OBS, .help = "World-wide name" },
	{ .name = "used-by", .type = VALUE_STRING, .flags = OBS, .help = "What occupies it; nothing: free" },
	{ .name = "plugin", .type = VALUE_STRING, .flags = OBS, .help = "The plugin that found it" },
	{ .name = NULL },
};

static const struct schema_param volume_params[] = {
	{ .name = "size", .type = VALUE_SIZE, .flags = PARAM_REQUIRED | LIVE | PARAM_GROWS, .unless = "path",
	  .granule = "block-size", .min = 4096, .max = 1ull << 60, .unit = "bytes",
	  .help = "Size; larger at any time, smaller only with allow-shrink=yes" },
	{ .name = "copies", .type = VALUE_UINT, .flags = LIVE, .min = 1, .max = 3, .since = 2,
	  .help = "How many nodes hold the data, each a leg of the volume; left out, one node holds it" },
	{ .name = "stripe", .type = VALUE_UINT, .flags = CREATE, .min = 2, .max = 16, .needs = "copies", .since = 2,
	  .help = "Over how many volumes, each with its own owner, the data is spread" },
	{ .name = "node", .type = VALUE_REF, .flags = PARAM_REQUIRED | CREATE | PARAM_AUTO, .ref = TYPE_NODE, .unless = "copies",
	  .help = "Node that holds the volume; left out, the one with the most space" },
	{ .name = "backstore", .type = VALUE_WORD, .flags = CREATE, .value = "file",
	  .help = "Plugin that stores the data: file, block, ram and so on" },
	{ .name = "path", .type = VALUE_PATH, .flags = CREATE,
	  .help = "File or device on the node, instead of a new file" },
	{ .name = "device", .type = VALUE_STRING, .flags = CREATE, .max = 223,
	  .help = "Name of one of the node's devices; sets path" },
	{ .name = "block-size", .type = VALUE_ENUM, .flags = CREATE, .value = "512", .choices = "512 4096",
	  .unit = "bytes", .help = "Logical block that initiators see" },
	{ .name = "read-only", .type = VALUE_BOOL, .flags = 0, .value = "no", .help = "Refuse all writes" },
	{ .name = "allow-shrink", .type = VALUE_BOOL, .flags = LIVE, .value = "no",
	  .help = "Allow a smaller size, which loses the data behind it" },
	{ .name = "want", .type = VALUE_STRING, .flags = LIVE, .max = 63, .needs = "copies", .since = 2,
	  .help = "Node that shall serve it; unset again once it does" },
	{ .name = "scrub-asked", .type = VALUE_UINT, .flags = LIVE | PARAM_GROWS, .needs = "copies", .since = 2,
	  .help = "How often a scrub was asked for; next: once more" },
	{ .name = "resync-limit", .type = VALUE_SIZE, .flags = LIVE, .max = 1ull << 60, .needs = "copies", .unit = "bytes", .since = 4,
	  .help = "How much of it is copied in a second at most to a leg that lacks data; of a striped volume: of each part; 0 or left out: as fast as "
	          "it goes" },
	{ .name = "scrub-limit", .type = VALUE_SIZE, .flags = LIVE, .max = 1ull << 60, .needs = "copies", .unit = "bytes", .since = 4,
	  .help = "How much of it a scrub compares in a second at most, likewise; 0: as fast as it goes; left out: 100M" },
	{ .name = "part-of", .type = VALUE_REF, .flags = CREATE, .ref = TYPE_VOLUME, .needs = "copies", .since = 2,
	  .help = "The striped volume that this one is a part of" },
	{ .name = "owner", .type = VALUE_HEX, .flags = MACHINE, .max = 16, .since = 2,
	  .help = "Identity of the node that may serve it" },
	{ .name = "epoch", .type = VALUE_UINT, .flags = MACHINE, .since = 2,
	  .help = "Number of that right; rises whenever it is given anew" },
	{ .name = "left", .type = VALUE_UINT, .flags = MACHINE, .since = 2, .help = "Rights up to this one are over" },
	{ .name = "begun", .type = VALUE_BOOL, .flags = MACHINE, .since = 2,
	  .help = "It has been served: from now on a blank leg is one that was lost" },
	{ .name = "reservations-version", .type = VALUE_UINT, .flags = MACHINE, .since = 2,
	  .help = "How often its reservations were agreed anew" },
	{ .name = "reservations-power", .type = VALUE_UINT, .flags = MACHINE, .since = 3,
	  .help = "The cluster's power when they were; of those that are older only what survives a loss of power counts" },
	COMMENT,
	{ .name = "state", .type = VALUE_ENUM, .flags = OBS, .choices = "creating ready failed deleting degraded syncing waiting",
	  .help = "How it is on its node; with copies, degraded: fewer are in sync than there shall be, syncing: that gets better, "
	          "waiting: nobody serves it" },
	{ .name = "in-sync", .type = VALUE_STRING, .flags = OBS, .since = 2, .help = "How many legs have all data, of how many" },
	{ .name = "resync-left", .type = VALUE_SIZE, .flags = OBS, .unit = "bytes", .since = 2,
	  .help = "What legs that come back still lack" },
	{ .name = "resync-total", .type = VALUE_SIZE, .flags = OBS, .unit = "bytes", .since = 2, .help = "Of how much" },
	{ .name = "resync-rate", .type = VALUE_SIZE, .flags = OBS, .unit = "bytes", .since = 2,
	  .help = "How much of it is copied in a second" },
	{ .name = "scrub-done", .type = VALUE_UINT, .flags = OBS, .since = 2, .help = "Which scrub-asked is over" },
	{ .name = "scrub-left", .type = VALUE_SIZE, .flags = OBS, .unit = "bytes", .since = 2,
	  .help = "What the scrub that runs has still to compare" },
	{ .name = "scrub-total", .type = VALUE_SIZE, .flags = OBS, .unit = "bytes", .since = 2, .help = "Of how much" },
	{ .name = "scrub-found", .type = VALUE_UINT, .flags = OBS, .since = 2,
	  .help = "Regions that differed between legs in the last scrub, and were repaired" },
	APPLIED,
	ERROR,
	{ .name = NULL },
};

static const struct schema_param leg_params[] = {
	{ .name = "node", .type = VALUE_REF, .flags = PARAM_REQUIRED | CREATE | PARAM_AUTO, .ref = TYPE_NODE, .unless = "lun",
	  .help = "Node that holds it; no two legs of a volume are on one" },
	{ .name = "lun", .type = VALUE_STRING, .flags = LIVE | PARAM_UNIQUE, .min = 12, .max = 599, .since = 3,
	  .help = "LUN of a foreign target that it is instead, iscsi://PORTAL/TARGET/LUN: whichever node serves the volume uses it; "
	          "what is there is lost" },
	{ .name = "backstore", .type = VALUE_WORD, .flags = CREATE, .value = "file",
	  .help = "Plugin that stores the data: file, block, ram and so on" },
	{ .name = "path", .type = VALUE_PATH, .flags = CREATE,
	  .help = "File or device on the node, instead of a new file; what is there is lost, unless it is another volume's" },
	{ .name = "device", .type = VALUE_STRING, .flags = CREATE, .max = 223,
	  .help = "Name of one of the node's devices; sets path" },
	{ .name = "replaces", .type = VALUE_STRING, .flags = LIVE, .max = 63,
	  .help = "The leg that goes when this one is in sync" },
	{ .name = "state", .type = VALUE_ENUM, .flags = MACHINE, .choices = "in-sync out-of-sync new",
	  .help = "Whether it has all data; new: it never had" },
	{ .name = "turn", .type = VALUE_UINT, .flags = MACHINE, .help = "Rises with every change of state" },
	{ .name = "member", .type = VALUE_UINT, .flags = MACHINE, .help = "The turn at which it last came into sync" },
	{ .name = "since", .type = VALUE_UINT, .flags = MACHINE, .help = "The last epoch that served with it in sync" },
	{ .name = "in-front", .type = VALUE_UINT, .flags = MACHINE, .unit = "bytes", .since = 3,
	  .help = "It was a volume without copies, of this size, and lies as it lay; what a leg keeps is behind it" },
	COMMENT,
	{ .name = "serves", .type = VALUE_BOOL, .flags = OBS, .help = "Whether its node is the one that serves the volume" },
	{ .name = "storage", .type = VALUE_ENUM, .flags = OBS, .choices = "creating ready failed deleting",
	  .help = "How its storage is on its node" },
	{ .name = "stored-at", .type = VALUE_STRING, .flags = OBS, .help = "File or device on its node that it lies on" },
	{ .name = "resync-left", .type = VALUE_SIZE, .flags = OBS, .unit = "bytes", .help = "What it still lacks" },
	{ .name = "resync-total", .type = VALUE_SIZE, .flags = OBS, .unit = "bytes", .help = "Of how much" },
	{ .name = "resync-rate", .type = VALUE_SIZE, .flags = OBS, .unit = "bytes", .help = "How much of it is copied in a second" },
	APPLIED,
	ERROR,
	{ .name = NULL },
};

static const struct schema_param target_params[] = {
	{ .name = "alias", .type = VALUE_STRING, .flags = LIVE, .max = 255, .help = "TargetAlias that initiators see" },
	{ .name = "enabled", .type = VALUE_BOOL, .flags = 0, .value = "yes", .help = "Let initiators log in" },
	{ .name = "auth", .type = VALUE_ENUM, .flags = LIVE, .value = "hosts", .choices = "hosts chap",
	  .help = "chap: refuse hosts that have no CHAP secret; hosts: as each host says" },
	COMMENT,
	{ .name = "state", .type = VALUE_ENUM, .flags = OBS, .choices = "ready failed", .help = "How it is on the node" },
	APPLIED,
	ERROR,
	{ .name = NULL },
};

static const struct schema_param lun_params[] = {
	{ .name = "volume", .type = VALUE_REF, .flags = PARAM_REQUIRED | CREATE, .ref = TYPE_VOLUME,
	  .help = "The volume behind the LUN" },
	{ .name = "read-only", .type = VALUE_BOOL, .flags = 0, .value = "no", .help = "Refuse writes through this LUN" },
	COMMENT,
	{ .name = NULL },
};

static const struct schema_param host_params[] = {
	{ .name = "chap-user", .type = VALUE_STRING, .flags = LIVE, .needs = "chap-secret", .min = 1, .max = 255,
	  .help = "Name the initiator authenticates with" },
	{ .name = "chap-secret", .type = VALUE_STRING, .flags = LIVE | PARAM_SECRET, .needs = "chap-user",
	  .min = 12, .max = 255, .unit = "bytes", .help = "Secret the initiator proves" },
	{ .name = "mutual-user", .type = VALUE_STRING, .flags = LIVE, .needs = "mutual-secret", .min = 1, .max = 255,
	  .help = "Name the target authenticates itself with" },
	{ .name = "mutual-secret", .type = VALUE_STRING, .flags = LIVE | PARAM_SECRET, .needs = "chap-secret",
	  .differs = "chap-secret", .min = 12, .max = 255, .unit = "bytes", .help = "Secret the target proves" },
	COMMENT,
	{ .name = NULL },
};

static const struct schema_param portal_params[] = {
	COMMENT,
	{ .name = NULL },
};

static const struct schema_param address_params[] = {
	{ .name = "interface", .type = VALUE_STRING, .flags = LIVE, .min = 1, .max = 15,
	  .help = "Network interface that carries it; left out, the one with an address of the same network" },
	COMMENT,
	{ .name = "node", .type = VALUE_STRING, .flags = OBS, .help = "Node that has it" },
	{ .name = "on", .type = VALUE_STRING, .flags = OBS, .help = "The interface there" },
	{ .name = "state", .type = VALUE_ENUM, .flags = OBS, .choices = "up waiting conflict failed",
	  .help = "How it is there; conflict: another machine of the network uses it" },
	APPLIED,
	ERROR,
	{ .name = NULL },
};

static const struct schema_param session_params[] = {
	{ .name = "target", .type = VALUE_REF, .flags = OBS, .ref = TYPE_TARGET, .help = "The target" },
	{ .name = "initiator", .type = VALUE_STRING, .flags = OBS, .help = "iSCSI name of the initiator" },
	{ .name = "alias", .type = VALUE_STRING, .flags = OBS, .help = "Alias of the initiator" },
	{ .name = "address", .type = VALUE_STRING, .flags = OBS, .help = "Address it comes from" },
	{ .name = "portal", .type = VALUE_STRING, .flags = OBS, .help = "Portal it came to" },
	{ .name = "node", .type = VALUE_REF, .flags = OBS, .ref = TYPE_NODE, .help = "Node that serves it" },
	{ .name = "isid", .type = VALUE_STRING, .flags = OBS, .help = "Initiator part of the session id" },
	{ .name = "tsih", .type = VALUE_UINT, .flags = OBS, .help = "Target part of the session id" },
	{ .name = "type", .type = VALUE_ENUM, .flags = OBS, .choices = "normal discovery", .help = "Kind of session" },
	{ .name = "since", .type = VALUE_UINT, .flags = OBS, .unit = "milliseconds", .help = "Login time (since 1970)" },
	{ .name = "connections", .type = VALUE_UINT, .flags = OBS, .help = "Connections it has, when it was last looked at" },
	{ .name = "commands", .type = VALUE_UINT, .flags = OBS, .help = "Commands so far, when it was last looked at" },
	{ .name = "read-bytes", .type = VALUE_SIZE, .flags = OBS, .unit = "bytes", .help = "Read so far" },
	{ .name = "write-bytes", .type = VALUE_SIZE, .flags = OBS, .unit = "bytes", .help = "Written so far" },
	{ .name = NULL },
};

static const struct schema_param task_params[] = {
	{ .name = "what", .type = VALUE_STRING, .flags = OBS, .help = "What is being done" },
	{ .name = "state", .type = VALUE_ENUM, .flags = OBS, .choices = "running done failed canceled",
	  .help = "How far it is" },
	{ .name = "done", .type = VALUE_UINT, .flags = OBS, .help = "How much is done" },
	{ .name = "total", .type = VALUE_UINT, .flags = OBS, .help = "Of how much" },
	{ .name = "author", .type = VALUE_STRING, .flags = OBS, .help = "Who asked for it" },
	{ .name = "node", .type = VALUE_STRING, .flags = OBS, .help = "Where it was asked for" },
	{ .name = "reason", .type = VALUE_STRING, .flags = OBS, .help = "What it waits for" },
	ERROR,
	{ .name = NULL },
};

static const struct schema_param plugin_params[] = {
	{ .name = "kind", .type = VALUE_ENUM, .flags = OBS, .choices = "backstore fabric device address fence notify",
	  .help = "What it is for" },
	{ .name = "version", .type = VALUE_STRING, .flags = OBS, .help = "Its version" },
	{ .name = "abi", .type = VALUE_STRING, .flags = OBS, .help = "ABI it was built for" },
	{ .name = "license", .type = VALUE_STRING, .flags = OBS, .help = "Its licence" },
	{ .name = "summary", .type = VALUE_STRING, .flags = OBS, .help = "What it does" },
	{ .name = "file", .type = VALUE_PATH, .flags = OBS, .help = "File it was loaded from" },
	{ .name = "params", .type = VALUE_STRING, .flags = OBS, .help = "Its parameters, each with its type" },
	{ .name = "state", .type = VALUE_ENUM, .flags = OBS, .choices = "probing ready quarantined broken",
	  .help = "Whether the node uses it" },
	{ .name = "reason", .type = VALUE_STRING, .flags = OBS, .help = "Why it does not" },
	{ .name = "failures", .type = VALUE_UINT, .flags = OBS, .help = "How often it failed in a row" },
	{ .name = "until", .type = VALUE_UINT, .flags = OBS, .unit = "seconds", .help = "What is left of its quarantine" },
	{ .name = NULL },
};

const struct schema_type schema_types[TYPE_COUNT] = {
	[TYPE_CLUSTER] = { TYPE_CLUSTER, "cluster", "/cluster", TYPE_NONE, NAME_FIXED, true, false, 0,
	                   cluster_params, "Options of the cluster" },
	[TYPE_NODE] = { TYPE_NODE, "node", "/nodes/NODE", TYPE_NONE, NAME_HOST, true, false, 0,
	                node_params, "A machine that runs directord" },
	[TYPE_DEVICE] = { TYPE_DEVICE, "device", "/nodes/NODE/devices/DEVICE", TYPE_NODE, NAME_FREE, false, false, 0,
	                  device_params, "A disk or other local storage that a node found" },
	[TYPE_VOLUME] = { TYPE_VOLUME, "volume", "/volumes/VOLUME", TYPE_NONE, NAME_LABEL, true, false, 0,
	                  volume_params, "A virtual disk" },
	[TYPE_TARGET] = { TYPE_TARGET, "target", "/targets/TARGET", TYPE_NONE, NAME_ISCSI, true, false, 0,
	                  target_params, "An iSCSI target" },
	[TYPE_LUN] = { TYPE_LUN, "lun", "/targets/TARGET/luns/LUN", TYPE_TARGET, NAME_LUN, true, true, 0,
	               lun_params, "A volume as initiators of the target see it" },
	[TYPE_HOST] = { TYPE_HOST, "host", "/targets/TARGET/hosts/INITIATOR", TYPE_TARGET, NAME_ISCSI_ANY, true, true, 0,
	                host_params, "An initiator that may log in to the target; \"any\": every initiator" },
	[TYPE_PORTAL] = { TYPE_PORTAL, "portal", "/targets/TARGET/portals/PORTAL", TYPE_TARGET, NAME_PORTAL, true, true, 0,
	                  portal_params, "An address and port where the target is reached" },
	[TYPE_SESSION] = { TYPE_SESSION, "session", "/sessions/SESSION", TYPE_NONE, NAME_FREE, false, false, 0,
	                   session_params, "An initiator that is logged in" },
	[TYPE_TASK] = { TYPE_TASK, "task", "/tasks/TASK", TYPE_NONE, NAME_FREE, false, false, 0,
	                task_params, "A change that is being carried out" },
	[TYPE_PLUGIN] = { TYPE_PLUGIN, "plugin", "/plugins/PLUGIN", TYPE_NONE, NAME_FREE, false, false, 0,
	                  plugin_params, "A plugin that nodes have loaded" },
	[TYPE_LEG] = { TYPE_LEG, "leg", "/volumes/VOLUME/legs/LEG", TYPE_VOLUME, NAME_LABEL, true, false, 2,
	               leg_params, "One copy of a volume's data, on one node" },
	[TYPE_ADDRESS] = { TYPE_ADDRESS, "address", "/targets/TARGET/addresses/ADDRESS", TYPE_TARGET, NAME_ADDRESS, true, false, 2,
	                   address_params, "An address that is where the target's volumes are served; ADDRESS/LENGTH is written with '-'" },
};
