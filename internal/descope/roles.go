package descope

import "context"

// SetRoles gives a user these roles of the project and no others (POST
// /v1/mgmt/user/update/role/set). Roles of a Descope tenant are left alone by all three.
func (c *Client) SetRoles(ctx context.Context, loginID string, roles []string) (User, error) {
	if roles == nil {
		roles = []string{}
	}
	return c.roles(ctx, CallSetRoles, loginID, roles)
}

// AddRoles gives a user more roles of the project (POST /v2/mgmt/user/update/role/add).
// They must exist in the project.
func (c *Client) AddRoles(ctx context.Context, loginID string, roles []string) (User, error) {
	if len(roles) == 0 {
		return User{}, invalid("no roles are named")
	}
	return c.roles(ctx, CallAddRoles, loginID, roles)
}

// RemoveRoles takes roles of the project off a user (POST
// /v1/mgmt/user/update/role/remove). Those that the user does not have are no error.
func (c *Client) RemoveRoles(ctx context.Context, loginID string, roles []string) (User, error) {
	if len(roles) == 0 {
		return User{}, invalid("no roles are named")
	}
	return c.roles(ctx, CallRemoveRoles, loginID, roles)
}

func (c *Client) roles(ctx context.Context, call Call, loginID string, roles []string) (User, error) {
	if !word(loginID, maxID) {
		return User{}, invalid(errID)
	}
	if len(roles) > maxMany {
		return User{}, invalid("these are too many roles at once")
	}
	for _, r := range roles {
		if !word(r, maxName) {
			return User{}, invalid("the name of a role is of 1 to 100 bytes without control characters")
		}
	}
	var out one
	return out.user(c.do(ctx, call, nil, struct {
		LoginID string   `json:"loginId"`
		Roles   []string `json:"roleNames"`
	}{loginID, roles}, &out))
}
