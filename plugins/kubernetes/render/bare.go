package render

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// WithoutImages returns a copy of an object whose containers have no images: two objects that differ in their images
// only are equal without them.
func WithoutImages(u *unstructured.Unstructured) *unstructured.Unstructured {
	c := u.DeepCopy()
	for _, x := range Containers(c.Object) {
		x.set("")
	}
	return c
}
