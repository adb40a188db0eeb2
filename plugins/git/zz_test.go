package git
import ("testing";"time";"os";"context"
 "github.com/davit-sh/davit/sdk")
func TestZZ(t *testing.T){
 for i:=0;i<2;i++ {
 cache:=t.TempDir()
 for j:=0;j<2;j++ {
 call:=&sdk.TestCall{Host: sdk.Host{CacheDir:cache}}
 s:=time.Now()
 o,err:=(&source{}).Observe(call.Context(context.Background()), Config{URL:os.Getenv("ZZ"),Path:[]string{"","apps/api"}[i],Timeout:sdk.Duration(time.Minute)})
 t.Log(time.Since(s),o.CommitCount,err)
 }}
}
