# SPDX-License-Identifier: LGPL-2.1-or-later
"""bpf(2) on the seal's programs: by the suite, and by those who should not succeed: bpf.py detach DIRECTORY…"""
import ctypes
import errno
import os
import sys

# enum bpf_cmd and enum bpf_attach_type, linux/bpf.h
MAP_LOOKUP_ELEM, MAP_UPDATE_ELEM = 1, 2
PROG_LOAD, OBJ_PIN, PROG_ATTACH, PROG_DETACH, PROG_GET_FD_BY_ID, MAP_GET_FD_BY_ID = 5, 6, 8, 9, 13, 14
OBJ_GET_INFO_BY_FD, PROG_QUERY = 15, 16
CGROUP_DEVICE, LSM_CGROUP = 6, 43
LSM = 29  # enum bpf_prog_type
SYS_BPF = {"x86_64": 321, "aarch64": 280}

libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, *words):
    """`words` are the first __u32 of union bpf_attr; the whole of it is passed."""
    return bpf_attr(command, (ctypes.c_uint32 * 64)(*(word & 0xffffffff for word in words)))


def bpf_attr(command, attr):
    result = libc.syscall(SYS_BPF[os.uname().machine], command, attr, ctypes.sizeof(attr))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def pointer(data):
    """As two words."""
    return ctypes.addressof(data) & 0xffffffff, ctypes.addressof(data) >> 32


def open_program(id_):
    return bpf(PROG_GET_FD_BY_ID, id_)


def attach(directory, program, flags, attach_type=CGROUP_DEVICE):
    bpf(PROG_ATTACH, open_directory(directory), program, attach_type, flags)


def detach(directory, program=-1, attach_type=CGROUP_DEVICE):
    bpf(PROG_DETACH, open_directory(directory), program, attach_type)


def load_lsm(hook, name):
    """A program for control groups that lets everything pass."""
    code = ctypes.create_string_buffer(bytes.fromhex("b700000001000000" "9500000000000000"), 16)  # return 1
    license_, attr = ctypes.create_string_buffer(b"GPL"), (ctypes.c_uint32 * 64)(LSM, 2, *pointer(code))
    attr[4:6] = pointer(license_)
    ctypes.memmove(ctypes.addressof(attr) + 12 * 4, name.encode(), len(name))
    attr[17], attr[27] = LSM_CGROUP, ctypes.CDLL("libbpf.so.1").libbpf_find_vmlinux_btf_id(hook.encode(), LSM_CGROUP)
    return bpf_attr(PROG_LOAD, attr)


def open_directory(path):
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def query(directory, attach_type):
    """The ids of the programs attached to a group itself, in order."""
    ids, flags, target = (ctypes.c_uint32 * 256)(), (ctypes.c_uint32 * 256)(), open_directory(directory)
    attr = (ctypes.c_uint32 * 64)(target, attach_type, 0, 0, *pointer(ids), len(ids), 0, *pointer(flags))
    try:
        bpf_attr(PROG_QUERY, attr)
    finally:
        os.close(target)
    return list(ids[:attr[6]])


def program_info(program, ids=()):
    """struct bpf_prog_info of the program with this id, as words; ids of its maps go to `ids`."""
    fd, info = open_program(program), (ctypes.c_uint32 * 64)()
    if ids:
        info[13:16] = len(ids), *pointer(ids)  # nr_map_ids, map_ids
    try:
        bpf(OBJ_GET_INFO_BY_FD, fd, ctypes.sizeof(info), *pointer(info))
    finally:
        os.close(fd)
    return info


def map_ids(program):
    ids = (ctypes.c_uint32 * 16)()
    return list(ids[:program_info(program, ids)[13]])


def program_name(program):
    return bytes(program_info(program))[16 * 4:20 * 4].rstrip(b"\0").decode()


def map_name(id_):
    """From struct bpf_map_info."""
    fd, info = bpf(MAP_GET_FD_BY_ID, id_), (ctypes.c_uint32 * 32)()
    try:
        bpf(OBJ_GET_INFO_BY_FD, fd, ctypes.sizeof(info), *pointer(info))
    finally:
        os.close(fd)
    return bytes(info)[6 * 4:10 * 4].rstrip(b"\0").decode()


def map_element(command, id_, key, value):
    fd, key_, value_ = bpf(MAP_GET_FD_BY_ID, id_), ctypes.create_string_buffer(key, len(key)), \
        ctypes.create_string_buffer(value, len(value))
    try:
        bpf(command, fd, 0, *pointer(key_), *pointer(value_))
    finally:
        os.close(fd)
    return value_.raw


def lookup(id_, key, size):
    return map_element(MAP_LOOKUP_ELEM, id_, key, bytes(size))


def update(id_, key, value):
    map_element(MAP_UPDATE_ELEM, id_, key, value)


def pin_map(id_, path):
    fd, name = bpf(MAP_GET_FD_BY_ID, id_), ctypes.create_string_buffer(os.fsencode(path))
    try:
        bpf(OBJ_PIN, *pointer(name), fd)
    finally:
        os.close(fd)


def outcome(call, *arguments):
    try:
        call(*arguments)
        return "0"
    except OSError as error:
        return errno.errorcode[error.errno]


if __name__ == "__main__":
    kind, target, *rest = sys.argv[1:]
    print(outcome({"detach": detach, "open": lambda id_: open_program(int(id_))}[kind], target, *map(int, rest)))
