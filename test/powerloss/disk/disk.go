// Package disk is a file system that can lose its power. What was written lies
// in memory until it is synced: a power failure leaves of each file what was
// synced, and of what was written since some blocks, or halves of them, or
// nothing, as a real disk does. A new name lasts once its folder was synced.
// Over a tree of folders names last at once, as what a file system keeps a
// journal of: there it is the contents of files that is lost.
//
// It is for tests, on Linux, as root: it mounts by FUSE.
package disk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// sector is what a disk writes whole: a block of a file that was not synced
// may have arrived in part.
const (
	block  = 4096
	sector = 512
)

// Disk is a mounted file system.
type Disk struct {
	Path string // where it is mounted

	server *fuse.Server
	live   string // what running programs see
	tree   bool   // names last at once

	mu     sync.Mutex        // guards what follows
	files  map[string]*state // by path; of a tree, those that were written to
	synced map[string]bool   // names that last
}

// state is what the disk holds of a file that is not yet what programs see.
type state struct {
	durable []byte         // content after the last sync
	dirty   map[int64]bool // blocks written since
	resized bool           // its length changed since
}

// Mount mounts an empty disk with one folder. dir is for its files meanwhile.
func Mount(dir string) (*Disk, error) {
	d := &Disk{Path: filepath.Join(dir, "disk"), live: filepath.Join(dir, "live")}
	for _, p := range []string{d.Path, d.live} {
		if err := os.MkdirAll(p, 0o700); err != nil {
			return nil, err
		}
	}
	return d, d.mount()
}

// Over mounts a disk that holds the tree of folders live, all of it synced.
func Over(live, path string) (*Disk, error) {
	d := &Disk{Path: path, live: live, tree: true}
	return d, d.mount()
}

func (d *Disk) mount() error {
	d.files, d.synced = map[string]*state{}, map[string]bool{}
	root, err := fs.NewLoopbackRoot(d.live)
	if err != nil {
		return err
	}
	loopback := root.(*fs.LoopbackNode).RootData
	loopback.NewNode = func(*fs.LoopbackRoot, *fs.Inode, string, *syscall.Stat_t) fs.InodeEmbedder {
		return &node{LoopbackNode: fs.LoopbackNode{RootData: loopback}, disk: d}
	}
	top := &node{LoopbackNode: fs.LoopbackNode{RootData: loopback}, disk: d}
	loopback.RootNode = top
	d.server, err = fs.Mount(d.Path, top, &fs.Options{MountOptions: fuse.MountOptions{DirectMount: true, AllowOther: d.tree, FsName: "powerloss"}})
	return err
}

// Unmount ends the file system. No program may use it any more.
func (d *Disk) Unmount() error { return d.server.Unmount() }

// Cut writes what the disk holds at this moment, were the power to fail, to a
// folder: of what was not synced a random part.
func (d *Disk) Cut(to string, random *rand.Rand) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tree {
		return d.cutTree(to, random)
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for name, s := range d.files {
		if !d.synced[name] && random.IntN(2) == 0 {
			continue // its name did not get there
		}
		seen, err := os.ReadFile(filepath.Join(d.live, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), s.afterCut(seen, random), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// cutTree copies the tree as it is after a power failure, with its owners.
func (d *Disk) cutTree(to string, random *rand.Rand) error {
	return filepath.WalkDir(d.live, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(d.live, path) // it is below
		info, err := entry.Info()
		if err != nil {
			return err
		}
		target, owner := filepath.Join(to, name), info.Sys().(*syscall.Stat_t)
		if entry.IsDir() {
			err = os.Mkdir(target, info.Mode().Perm())
		} else {
			var content []byte
			if content, err = os.ReadFile(path); err != nil {
				return err
			}
			if s := d.files[name]; s != nil {
				content = s.afterCut(content, random)
			}
			err = os.WriteFile(target, content, info.Mode().Perm())
		}
		return errors.Join(err, os.Chown(target, int(owner.Uid), int(owner.Gid)))
	})
}

// afterCut is the content of a file after a power failure: the durable one,
// with some of what was written since.
func (s *state) afterCut(seen []byte, random *rand.Rand) []byte {
	content := slices.Clone(s.durable)
	if s.resized && random.IntN(2) == 0 {
		content = append(content[:min(len(content), len(seen))], make([]byte, max(0, len(seen)-len(content)))...)
	}
	everything, nothing := random.IntN(4) == 0, random.IntN(4) == 0
	for n := range s.dirty {
		if nothing || !everything && random.IntN(2) == 0 {
			continue
		}
		from, to := n*block, (n+1)*block
		if !everything && random.IntN(3) == 0 { // torn
			to = from + int64(random.IntN(block/sector))*sector
		}
		to = min(to, int64(len(seen)))
		if from >= to {
			continue
		}
		if to > int64(len(content)) {
			content = append(content, make([]byte, to-int64(len(content)))...)
		}
		copy(content[from:to], seen[from:to])
	}
	return content
}

func (d *Disk) file(name string) *state {
	s := d.files[name]
	if s == nil {
		s = &state{dirty: map[int64]bool{}}
		d.files[name] = s
	}
	return s
}

// track notes what a disk over a tree holds of a file before it is written to.
func (d *Disk) track(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tree && d.files[name] == nil {
		content, _ := os.ReadFile(filepath.Join(d.live, name)) // one that was removed holds nothing
		d.file(name).durable = content
	}
}

func (d *Disk) wrote(name string, offset int64, length int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.file(name)
	for n := offset / block; n*block < offset+int64(length); n++ {
		s.dirty[n] = true
	}
	s.resized = true
}

func (d *Disk) sync(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tree && d.files[name] == nil {
		return nil // nothing was written to it, or it was removed
	}
	seen, err := os.Open(filepath.Join(d.live, name))
	if err != nil {
		return err
	}
	defer seen.Close()
	info, err := seen.Stat()
	if err != nil {
		return err
	}
	s, size := d.file(name), int(info.Size())
	// Only what is dirty: these files are large and syncs are many.
	s.durable = append(s.durable[:min(len(s.durable), size)], make([]byte, max(0, size-len(s.durable)))...)
	for n := range s.dirty {
		from, to := min(int(n)*block, size), min(int(n+1)*block, size)
		if _, err := seen.ReadAt(s.durable[from:to], int64(from)); err != nil {
			return err
		}
	}
	clear(s.dirty)
	s.resized = false
	return nil
}

// node is a file, or the folder.
type node struct {
	fs.LoopbackNode
	disk *Disk
}

// path is where a file is, in relation to the root.
func (n *node) path() string { return n.Path(n.Root()) }

// below is the path of a name in a folder.
func (n *node) below(name string) string { return filepath.Join(n.path(), name) }

var (
	_ fs.NodeOpener         = (*node)(nil)
	_ fs.NodeCreater        = (*node)(nil)
	_ fs.NodeUnlinker       = (*node)(nil)
	_ fs.NodeRenamer        = (*node)(nil)
	_ fs.NodeLinker         = (*node)(nil)
	_ fs.NodeSetattrer      = (*node)(nil)
	_ fs.NodeOpendirHandler = (*node)(nil)
	_ fs.FileFsyncdirer     = (*folder)(nil)
)

// handle is an open file.
type handle struct {
	fs.FileHandle
	node *node
}

func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	fh, more, errno := n.LoopbackNode.Open(ctx, flags)
	return &handle{fh, n}, more, errno
}

func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	inode, fh, more, errno := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	if errno != 0 {
		return inode, fh, more, errno
	}
	n.disk.mu.Lock()
	n.disk.file(n.below(name))
	n.disk.mu.Unlock()
	return inode, &handle{fh, inode.Operations().(*node)}, more, 0
}

func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	errno := n.LoopbackNode.Unlink(ctx, name)
	if errno == 0 {
		n.disk.mu.Lock()
		delete(n.disk.files, n.below(name))
		delete(n.disk.synced, n.below(name))
		n.disk.mu.Unlock()
	}
	return errno
}

// Rename moves a file within a tree. Folders of files that were written to stay
// where they are.
func (n *node) Rename(ctx context.Context, name string, parent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	to, ok := parent.(*node)
	if !n.disk.tree || !ok || flags != 0 {
		return syscall.ENOTSUP
	}
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	errno := n.LoopbackNode.Rename(ctx, name, parent, newName, flags)
	if errno == 0 {
		delete(n.disk.files, to.below(newName))
		if s := n.disk.files[n.below(name)]; s != nil {
			n.disk.files[to.below(newName)] = s
			delete(n.disk.files, n.below(name))
		}
	}
	return errno
}

// Link gives a file a second name, with the same content.
func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	from, ok := target.(*node)
	if !n.disk.tree || !ok {
		return nil, syscall.ENOTSUP
	}
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	before := from.path()
	inode, errno := n.LoopbackNode.Link(ctx, target, name, out)
	if s := n.disk.files[before]; errno == 0 && s != nil {
		n.disk.files[n.below(name)] = s
	}
	return inode, errno
}

func (n *node) Setattr(ctx context.Context, fh fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if h, ok := fh.(*handle); ok {
		fh = h.FileHandle
	}
	if _, ok := in.GetSize(); ok {
		n.disk.track(n.path())
	}
	errno := n.LoopbackNode.Setattr(ctx, fh, in, out)
	if size, ok := in.GetSize(); ok && errno == 0 {
		n.disk.mu.Lock()
		s := n.disk.file(n.path())
		s.resized = true
		for b := range s.dirty {
			if b*block >= int64(size) {
				delete(s.dirty, b)
			}
		}
		n.disk.mu.Unlock()
	}
	return errno
}

// OpendirHandle gives a handle of the folder, to read it or to sync it.
func (n *node) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	fh, more, errno := n.LoopbackNode.OpendirHandle(ctx, flags)
	if errno != 0 {
		return nil, 0, errno
	}
	return &folder{fh.(directory), n.disk}, more, 0
}

// directory is what the handle of a folder can do, but for being synced.
type directory interface {
	fs.FileReaddirenter
	fs.FileReleasedirer
}

type folder struct {
	directory
	disk *Disk
}

// Fsyncdir makes the names in the folder last.
func (f *folder) Fsyncdir(context.Context, uint32) syscall.Errno {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	for name := range f.disk.files {
		f.disk.synced[name] = true
	}
	return 0
}

func (h *handle) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return h.FileHandle.(fs.FileReader).Read(ctx, dest, off)
}

func (h *handle) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	h.node.disk.track(h.node.path())
	n, errno := h.FileHandle.(fs.FileWriter).Write(ctx, data, off)
	h.node.disk.wrote(h.node.path(), off, int(n))
	return n, errno
}

// Fsync makes the content of a file last.
func (h *handle) Fsync(context.Context, uint32) syscall.Errno {
	if err := h.node.disk.sync(h.node.path()); err != nil {
		fmt.Fprintln(os.Stderr, "powerloss:", err)
		return syscall.EIO
	}
	return 0
}

func (h *handle) Flush(ctx context.Context) syscall.Errno {
	return h.FileHandle.(fs.FileFlusher).Flush(ctx)
}

func (h *handle) Release(ctx context.Context) syscall.Errno {
	return h.FileHandle.(fs.FileReleaser).Release(ctx)
}

func (h *handle) Getattr(ctx context.Context, out *fuse.AttrOut) syscall.Errno {
	return h.FileHandle.(fs.FileGetattrer).Getattr(ctx, out)
}

func (h *handle) Lseek(ctx context.Context, off uint64, whence uint32) (uint64, syscall.Errno) {
	return h.FileHandle.(fs.FileLseeker).Lseek(ctx, off, whence)
}
